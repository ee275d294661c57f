//! A tree in one piece of memory, for keeping: a few bytes more than its text, where the tree itself takes ten times
//! as much. Columns are left out: they are for who reads a text at once. Nothing outside of this process writes or reads one.

use super::{Node, Value};
use sha2::{Digest as _, Sha256};

/// A packed tree.
#[derive(Clone, PartialEq, Eq)]
pub struct Packed(Box<[u8]>);

/// Tells one content from another, without keeping either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of a text.
    pub fn of_text(text: &str) -> Self {
        Digest(Sha256::digest(text).into())
    }

    /// Of a tree, its lines included, in a place.
    pub fn of_tree(place: &str, tree: &Packed) -> Self {
        Digest(Sha256::new().chain_update(place).chain_update([0]).chain_update(&tree.0).finalize().into())
    }
}

impl Packed {
    /// Packs a tree.
    pub fn of(node: &Node) -> Self {
        let mut out = Vec::new();
        pack(node, &mut out);
        Packed(out.into())
    }

    /// The tree again.
    pub fn unpack(&self) -> Node {
        let mut rest = &*self.0;
        node(&mut rest)
    }
}

fn pack(node: &Node, out: &mut Vec<u8>) {
    number(u64::from(node.line), out);
    match &node.value {
        Value::Null => out.push(0),
        Value::Bool(false) => out.push(1),
        Value::Bool(true) => out.push(2),
        Value::Int(int) => {
            out.push(3);
            out.extend(int.to_le_bytes());
        }
        Value::Float(float) => {
            out.push(4);
            out.extend(float.to_le_bytes());
        }
        Value::String(text) => {
            out.push(5);
            string(text, out);
        }
        Value::Seq(entries) => {
            out.push(6);
            number(entries.len() as u64, out);
            entries.iter().for_each(|entry| pack(entry, out));
        }
        Value::Map(entries) => {
            out.push(7);
            number(entries.len() as u64, out);
            for (key, value) in entries {
                string(key, out);
                pack(value, out);
            }
        }
    }
}

fn string(text: &str, out: &mut Vec<u8>) {
    number(text.len() as u64, out);
    out.extend(text.as_bytes());
}

/// Seven bits a byte, the lowest first.
fn number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

const OURS: &str = "bytes that were packed above";

fn node(rest: &mut &[u8]) -> Node {
    let line = u32::try_from(length(rest)).expect(OURS);
    let value = match take(rest, 1)[0] {
        0 => Value::Null,
        1 => Value::Bool(false),
        2 => Value::Bool(true),
        3 => Value::Int(i64::from_le_bytes(take(rest, 8).try_into().expect(OURS))),
        4 => Value::Float(f64::from_le_bytes(take(rest, 8).try_into().expect(OURS))),
        5 => Value::String(text(rest)),
        6 => Value::Seq((0..length(rest)).map(|_| node(rest)).collect()),
        _ => Value::Map((0..length(rest)).map(|_| (text(rest), node(rest))).collect()),
    };
    Node::new(line, value)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

fn text(rest: &mut &[u8]) -> String {
    let count = length(rest);
    String::from_utf8(take(rest, count).to_vec()).expect(OURS)
}

fn length(rest: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = take(rest, 1)[0];
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tree() -> impl Strategy<Value = Node> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e300..1e300).prop_map(Value::Float),
            ".{0,200}".prop_map(Value::String),
        ];
        let node = |value| (any::<u32>(), value).prop_map(|(line, value)| Node::new(line, value));
        node(leaf.boxed()).prop_recursive(4, 60, 6, move |inner| {
            let seq = prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Seq);
            let map = prop::collection::vec((".{0,9}", inner), 0..6).prop_map(Value::Map);
            node(prop_oneof![seq, map].boxed())
        })
    }

    proptest! {
        #[test]
        fn a_packed_tree_is_the_tree(one in tree(), other in tree()) {
            prop_assert_eq!(&Packed::of(&one).unpack(), &one);
            let same = Digest::of_tree("", &Packed::of(&one)) == Digest::of_tree("", &Packed::of(&other));
            prop_assert_eq!(same, one == other);
        }
    }
}
