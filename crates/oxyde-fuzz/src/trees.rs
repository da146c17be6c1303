//! JSON that is nearly right: documents with some of their parts replaced, removed, doubled and wrapped, as bytes say. Bytes
//! of JSON text themselves are hardly ever JSON once they are changed.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// The most parts that a document is let grow to.
const MOST: usize = 2_000;

/// What is known beforehand.
pub struct Known {
    pub documents: Vec<Value>,
    /// Every text in them, and other values that may stand anywhere.
    pub values: Vec<Value>,
}

impl Known {
    pub fn new(documents: Vec<Value>) -> Self {
        let mut texts = BTreeSet::new();
        documents
            .iter()
            .for_each(|document| collect(document, &mut texts));
        let mut values = vec![
            Value::Null,
            json!(true),
            json!(false),
            json!(0),
            json!(-1),
            json!(1_u64 << 63),
            json!(1.5),
            json!(1e300),
            json!(""),
            json!("\0"),
            json!("it's"),
            json!("\""),
            json!("`"),
            json!("\\"),
            json!("'; DROP TABLE x --"),
            json!("/*"),
            json!("?"),
            json!("$1"),
            json!("\u{1f600} "),
            json!("x".repeat(300)),
            json!([]),
            json!({}),
            json!(["null"]),
            json!(["param", "text"]),
            json!(["array", ["array", "integer"]]),
        ];
        values.extend(texts.into_iter().map(Value::from));
        Self { documents, values }
    }

    /// The document that an input stands for. First byte odd: the rest is its text. Even: the second and third name a
    /// known document, and each four bytes behind them change one of its parts.
    pub fn document(&self, input: &[u8]) -> Option<Value> {
        let ([how], rest) = input.split_first_chunk::<1>()?;
        if how % 2 == 1 {
            return serde_json::from_slice(rest).ok();
        }
        let (place, edits) = rest.split_first_chunk::<2>()?;
        let place = usize::from(u16::from_le_bytes(*place));
        let mut document = self.documents.get(place % self.documents.len())?.clone();
        for edit in edits.chunks_exact(4) {
            let [what, with, low, high] = *edit.first_chunk::<4>()?;
            let count = size(&document);
            if count > MOST {
                break;
            }
            let place = usize::from(u16::from_le_bytes([low, high])) % count;
            self.edit(part(&mut document, place)?, what, with);
        }
        Some(document)
    }

    fn edit(&self, part: &mut Value, what: u8, with: u8) {
        let with = usize::from(with);
        // Values are more than a byte can name.
        let value = &self.values[(with + usize::from(what >> 3) * 256) % self.values.len()];
        match what & 7 {
            0 | 1 => *part = value.clone(),
            2 => {
                let document = self.documents[with % self.documents.len()].clone();
                let mut document = document;
                let place = usize::from(what >> 3) * 7 % size(&document);
                if let Some(other) = self::part(&mut document, place) {
                    *part = other.take();
                }
            }
            3 => match part {
                Value::Array(items) if !items.is_empty() => {
                    let at = with % items.len();
                    items.remove(at);
                }
                Value::Object(members) => {
                    let name = members.keys().nth(with % members.len().max(1)).cloned();
                    name.and_then(|name| members.remove(&name));
                }
                _ => {}
            },
            4 => {
                if let Value::Array(items) = part
                    && !items.is_empty()
                {
                    let at = with % items.len();
                    items.insert(at, items[at].clone());
                }
            }
            5 => match (&mut *part, value) {
                (Value::Array(items), value) => items.push(value.clone()),
                (Value::Object(members), Value::String(name)) => {
                    let known = members.values().next().cloned();
                    members.insert(name.clone(), known.unwrap_or(Value::Null));
                }
                _ => {}
            },
            6 => {
                for _ in 0..1 + (with >> 4) * 8 {
                    let tag = ["not", "neg", "and", "is_null"][with % 4];
                    *part = json!([tag, part.take()]);
                }
            }
            _ => {
                let same = part.take();
                let (tag, op) = [
                    ("cmp", "eq"),
                    ("arith", "mod"),
                    ("arith", "floordiv"),
                    ("array", "contains"),
                ][with % 4];
                *part = json!([tag, op, same, same]);
            }
        }
    }

    /// An input for each document and each of so many servers.
    pub fn seeds(&self, servers: usize) -> Vec<Vec<u8>> {
        let places = 0..u16::try_from(self.documents.len()).unwrap();
        let servers = 0..u8::try_from(servers).unwrap();
        servers
            .flat_map(|server| places.clone().map(move |place| (server << 1, place)))
            .map(|(how, place)| [&[how][..], &place.to_le_bytes()].concat())
            .collect()
    }

    pub fn words(&self) -> Vec<Vec<u8>> {
        self.values
            .iter()
            .map(|value| value.to_string().into_bytes())
            .filter(|word| word.len() < 64)
            .collect()
    }
}

fn collect(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            texts.insert(text.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
        Value::Object(members) => {
            for (name, member) in members {
                texts.insert(name.clone());
                collect(member, texts);
            }
        }
        _ => {}
    }
}

fn size(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        _ => 0,
    }
}

/// The part at a place, counted from the top.
fn part(value: &mut Value, place: usize) -> Option<&mut Value> {
    if place == 0 {
        return Some(value);
    }
    let mut left = place - 1;
    let parts: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(items) => Box::new(items.iter_mut()),
        Value::Object(members) => Box::new(members.values_mut()),
        _ => return None,
    };
    for inner in parts {
        let size = size(inner);
        if left < size {
            return part(inner, left);
        }
        left -= size;
    }
    None
}

/// Whether a value is in it for which `wanted` holds; it is given the name of the member that it belongs to, too.
pub fn holds(value: &Value, name: &str, wanted: &impl Fn(&str, &Value) -> bool) -> bool {
    wanted(name, value)
        || match value {
            Value::Array(items) => items.iter().any(|item| holds(item, name, wanted)),
            Value::Object(members) => members
                .iter()
                .any(|(name, member)| holds(member, name, wanted)),
            _ => false,
        }
}
