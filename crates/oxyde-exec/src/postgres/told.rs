//! What the server tells without being asked: about itself after the login, about the world at any time.

use crate::error::{ErrorKind, ExecError};
use crate::postgres::backend::{Reader, Report};
use crate::postgres::replies::{OUT_OF_PLACE, Reply};
use crate::postgres::session::{Phase, Session};
use crate::query::Malformed;
use crate::wire::events::{Event, Fatal};

/// More settings than a server reports.
const PARAMETERS: usize = 256;

impl Session {
    /// Settings without which every value would be read wrongly.
    pub(super) fn check_greeting(&self) -> Result<(), Fatal> {
        for (name, wanted) in [("integer_datetimes", "on"), ("client_encoding", "UTF8")] {
            if let Some(value) = self.parameter(name)
                && value != wanted
            {
                return Err(Fatal(ExecError::new(
                    ErrorKind::Connect,
                    format!("the server runs with {name} = {value}; only {wanted} is supported"),
                )));
            }
        }
        Ok(())
    }

    pub(super) fn parameter_status(&mut self, body: &[u8]) -> Reply {
        let mut reader = Reader::new(body);
        let name = reader.text()?.into_owned();
        let value = reader.text()?.into_owned();
        reader.end()?;
        let parameters = &mut self.parameters;
        let size = |(name, value): (&String, &String)| name.len().saturating_add(value.len());
        let held = parameters.iter().map(size).fold(0, usize::saturating_add);
        let limit = self.config.limits.max_backend_small;
        let new = !parameters.contains_key(&name);
        if (new && parameters.len() >= PARAMETERS) || held.saturating_add(body.len()) > limit {
            return Err(Malformed("more settings than a server has").into());
        }
        parameters.insert(name.clone(), value);
        let told = !matches!(self.phase, Phase::Greeting);
        Ok(told.then_some(Event::Parameter(name)))
    }

    pub(super) fn backend_key(&mut self, body: &[u8]) -> Reply {
        let mut reader = Reader::new(body);
        let pid = reader.i32()?;
        let key = reader.rest();
        if self.backend.is_some() || !(4..=256).contains(&key.len()) {
            return Err(Malformed("a key for cancelling of an impossible length").into());
        }
        self.backend = Some((pid, key.into()));
        Ok(None)
    }

    pub(super) fn login(&mut self, body: &[u8]) -> Reply {
        let Phase::Login(login) = &mut self.phase else {
            return Err(OUT_OF_PLACE.into());
        };
        let limit = self.config.limits.scram_iterations;
        if login.answer(body, limit, &mut self.out)? {
            self.phase = Phase::Greeting;
        }
        Ok(None)
    }
}

pub(super) fn notice(body: &[u8]) -> Reply {
    let report = Report::read(body)?;
    Ok(Some(Event::Notice(Box::new(report.notice()))))
}

pub(super) fn notification(body: &[u8]) -> Reply {
    let mut reader = Reader::new(body);
    let pid = reader.i32()?;
    let channel = reader.text()?.into_owned();
    let payload = reader.text()?.into_owned();
    reader.end()?;
    Ok(Some(Event::Notification {
        pid,
        channel,
        payload,
    }))
}
