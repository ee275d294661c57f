//! JSON as an API server sends it to trees, without places: [`FromServer`] is a value that serde reads.
//!
//! What only the API server and its clients keep in an object is left out (`metadata.managedFields`, which may be half
//! of it, and what `kubectl apply` wrote of it last). Bounded like texts: [`MAX_DEPTH`], [`MAX_NODES`].

use super::{MAX_DEPTH, MAX_NODES, Node, Value};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// An object as an API server sends it. Its maps have each key once, as all that an API server has written.
pub struct FromServer(pub Node);

impl<'de> Deserialize<'de> for FromServer {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut budget = MAX_NODES;
        Tree { at: At::Top, depth: 0, budget: &mut budget }.deserialize(from).map(FromServer)
    }
}

/// Where in an object a value stands, as far as it matters.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Top,
    Metadata,
    Annotations,
    Deeper,
}

impl At {
    /// Where the value of a key stands; `None`: it is left out.
    fn below(self, key: &str) -> Option<At> {
        match (self, key) {
            (At::Top, "metadata") => Some(At::Metadata),
            (At::Metadata, "managedFields") => None,
            (At::Metadata, "annotations") => Some(At::Annotations),
            (At::Annotations, "kubectl.kubernetes.io/last-applied-configuration") => None,
            _ => Some(At::Deeper),
        }
    }
}

/// Reads one value and what is below it.
struct Tree<'b> {
    at: At,
    depth: usize,
    budget: &'b mut usize,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        if self.depth > MAX_DEPTH {
            return Err(D::Error::custom(super::too_deep()));
        }
        *self.budget = self
            .budget
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom(format!("it holds more than {MAX_NODES} values")))?;
        from.deserialize_any(self).map(|value| Node::new(0, value))
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_i64<E: Error>(self, it: i64) -> Result<Value, E> {
        Ok(Value::Int(it))
    }

    fn visit_u64<E: Error>(self, it: u64) -> Result<Value, E> {
        Ok(i64::try_from(it).map_or(Value::Float(it as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, it: f64) -> Result<Value, E> {
        Ok(Value::Float(it))
    }

    fn visit_str<E: Error>(self, it: &str) -> Result<Value, E> {
        Ok(Value::String(it.to_owned()))
    }

    fn visit_string<E: Error>(self, it: String) -> Result<Value, E> {
        Ok(Value::String(it))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let (depth, budget) = (self.depth + 1, self.budget);
        while let Some(item) = from.next_element_seed(Tree { at: At::Deeper, depth, budget: &mut *budget })? {
            items.push(item);
        }
        Ok(Value::Seq(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        let (depth, budget) = (self.depth + 1, self.budget);
        while let Some(key) = from.next_key::<String>()? {
            match self.at.below(&key) {
                Some(at) => entries.push((key, from.next_value_seed(Tree { at, depth, budget: &mut *budget })?)),
                None => {
                    from.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, String> {
        serde_json::from_str(text).map(|FromServer(node)| node).map_err(|error| error.to_string())
    }

    #[test]
    fn what_the_api_server_keeps_for_itself_is_left_out_and_nothing_else() {
        let text = r#"{"kind":"A","metadata":{"managedFields":[{"a":1}],"name":"a",
            "annotations":{"k":"v","kubectl.kubernetes.io/last-applied-configuration":"{}"}},
            "spec":{"managedFields":[null,true,-1,18446744073709551615,0.5],"annotations":{"managedFields":{}}}}"#;
        let kept = r#"{"kind":"A","metadata":{"name":"a","annotations":{"k":"v"}},"spec":{"managedFields":[null,true,-1,1.8446744073709552e+19,0.5],"annotations":{"managedFields":{}}}}"#;
        assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), kept);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(read(&nested(MAX_DEPTH)).is_ok());
        assert!(read(&nested(MAX_DEPTH + 2)).unwrap_err().contains("deep"));
    }
}
