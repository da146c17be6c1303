//! The data of a COPY on their way to the server.
//!
//! A link asks the source for the next piece when the channel has taken the last one, so what lies between the two is one
//! piece and what the channel holds. A source that gives up stops the job: the server is told, and stores nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::copy::{CopySource, Supply};
use crate::wire::link::active::{Active, Sent};
use crate::wire::link::cancelling::{Cancelling, Progress};
use crate::wire::link::{Command, Inner, Link};

/// How long the server may take to notice that no more data come, before it is asked to stop as for any statement: it
/// reads nothing as long as it waits for a lock.
const NOTICED: Duration = Duration::from_millis(500);

impl Link {
    pub(super) fn begin_supply(self: &Arc<Self>, from: &Arc<dyn CopySource>) {
        let link = Arc::downgrade(self);
        from.begin(Box::new(move || {
            if let Some(link) = link.upgrade() {
                link.command(Command::Supply);
            }
        }));
    }

    /// Sends what the source of the running COPY has, as far as the channel takes it; on the thread of the loop.
    pub fn supply(self: &Arc<Self>) {
        loop {
            let Some(from) = self.lock().supplier() else {
                return;
            };
            let supply = from.next();
            {
                let mut inner = self.lock();
                // The source may be the user's code, after which everything may have changed.
                let (true, Some(session)) = (inner.supplier().is_some(), &mut inner.session) else {
                    return;
                };
                match &supply {
                    Supply::Data(data) => {
                        session.copy_data(data);
                    }
                    Supply::Later => return,
                    Supply::End => session.copy_done(),
                }
                if let (
                    Supply::End,
                    Some(Active {
                        sent: Sent::Copy { open, .. },
                        ..
                    }),
                ) = (&supply, inner.jobs.front_mut())
                {
                    *open = false;
                }
            }
            self.flush();
        }
    }
}

impl Inner {
    /// Who has the data that can be sent now.
    fn supplier(&self) -> Option<Arc<dyn CopySource>> {
        let head = self.jobs.front()?;
        let Sent::Copy { from, open: true } = &head.sent else {
            return None;
        };
        let full = self
            .channel
            .as_ref()
            .is_none_or(|channel| channel.is_full());
        let wanted = !full && !self.receiving && !head.cancel.is_set() && head.error.is_none();
        wanted.then(|| Arc::clone(from))
    }

    /// Stops the running COPY by the word that no more data come; false: the server does not wait for data.
    pub(super) fn stop_supply(&mut self, deadline: Instant) -> bool {
        let (
            Some(Active {
                sent: Sent::Copy { open, .. },
                error: None,
                ..
            }),
            Some(session),
        ) = (self.jobs.front_mut(), &mut self.session)
        else {
            return false;
        };
        if !std::mem::take(open) {
            return false;
        }
        session.copy_fail("the program gave up");
        self.cancelling = Some(Cancelling {
            deadline,
            again: Some(Instant::now() + NOTICED),
            progress: Progress::Noted,
            errand: None,
            doubtful: false,
            held: None,
        });
        true
    }
}
