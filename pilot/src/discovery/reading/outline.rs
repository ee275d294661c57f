//! What a request of discovery will take of memory, told from its bytes as they come, before anything is decoded: two bytes
//! on the wire can be a name of length zero, which takes a dozen times as much once it is one of a list.
//!
//! Only the outermost fields are looked at, and those of a refusal; what is in a node is bounded by the node's length.

/// Bytes that a node may have. Ours have some hundred.
const MAX_NODE: usize = 64 << 10;
/// Fields that are there once, with room for those that we do not know.
const SINGLE: usize = 64;
/// What a field takes besides its own bytes, about.
pub(super) const PART: usize = 64;

/// Fields of a request.
const NODE: u64 = 1;
const ERROR_DETAIL: u64 = 7;

/// Why a message is not read any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("one message names more than {0} resources; say it in several, or raise --max-names")]
    TooMany(usize),
    #[error("the node of a request has {0} bytes, more than {MAX_NODE}")]
    Node(usize),
    #[error("a message is not a request of discovery")]
    Malformed,
}

/// A message, as far as it has come.
#[derive(Debug)]
pub(super) struct Outline {
    most: usize,
    parts: usize,
    expects: Expects,
    number: u64,
    shift: u32,
    /// Bytes left of the refusal that is being read.
    within: Option<usize>,
}

/// What the next byte is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Key,
    Varint,
    Length { field: u64 },
    Bytes(usize),
}

impl Outline {
    /// Of a message that may name so many resources, once to follow them and once to say that it has them.
    pub(super) fn new(names: usize) -> Self {
        let most = names.saturating_mul(2).saturating_add(SINGLE);
        Outline { most, parts: 0, expects: Expects::Key, number: 0, shift: 0, within: None }
    }

    /// Fields so far.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// The next piece of the message.
    pub(super) fn take_in(&mut self, mut piece: &[u8]) -> Result<(), Refused> {
        while let Some((first, rest)) = piece.split_first() {
            if let Expects::Bytes(left) = self.expects {
                let some = left.min(piece.len());
                self.consume(some)?;
                self.expects = if some == left { Expects::Key } else { Expects::Bytes(left - some) };
                piece = &piece[some..];
                continue;
            }
            piece = rest;
            self.consume(1)?;
            if let Some(number) = self.number(*first)? {
                self.expects = self.after(number)?;
            }
        }
        Ok(())
    }

    /// What follows a number that has come to its end.
    fn after(&mut self, number: u64) -> Result<Expects, Refused> {
        match self.expects {
            Expects::Key => {
                self.parts += 1;
                if self.parts > self.most {
                    return Err(Refused::TooMany(self.most));
                }
                match number & 7 {
                    0 => Ok(Expects::Varint),
                    1 => Ok(Expects::Bytes(8)),
                    2 => Ok(Expects::Length { field: number >> 3 }),
                    5 => Ok(Expects::Bytes(4)),
                    // Groups, which no message here has.
                    _ => Err(Refused::Malformed),
                }
            }
            Expects::Length { field } => {
                let length = usize::try_from(number).map_err(|_| Refused::Malformed)?;
                if self.within.is_some_and(|left| length > left) {
                    return Err(Refused::Malformed);
                }
                match field {
                    NODE if self.within.is_none() && length > MAX_NODE => Err(Refused::Node(length)),
                    ERROR_DETAIL if self.within.is_none() && length > 0 => {
                        self.within = Some(length);
                        Ok(Expects::Key)
                    }
                    _ if length == 0 => Ok(Expects::Key),
                    _ => Ok(Expects::Bytes(length)),
                }
            }
            Expects::Varint | Expects::Bytes(_) => Ok(Expects::Key),
        }
    }

    /// A byte of a number; the number, where it is the last.
    fn number(&mut self, byte: u8) -> Result<Option<u64>, Refused> {
        if self.shift >= 64 {
            return Err(Refused::Malformed);
        }
        self.number |= u64::from(byte & 0x7f) << self.shift;
        self.shift += 7;
        if byte >= 0x80 {
            return Ok(None);
        }
        self.shift = 0;
        Ok(Some(std::mem::take(&mut self.number)))
    }

    /// Bytes of the refusal are over, if they are of one.
    fn consume(&mut self, bytes: usize) -> Result<(), Refused> {
        if let Some(left) = self.within {
            let left = left.checked_sub(bytes).ok_or(Refused::Malformed)?;
            self.within = (left > 0).then_some(left);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_config::wire::{
        Packed,
        proto::{
            envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest},
            google::rpc,
        },
    };
    use proptest::prelude::*;
    use prost::Message as _;

    fn read(bytes: &[u8], size: usize, names: usize) -> Result<usize, Refused> {
        let mut outline = Outline::new(names);
        bytes.chunks(size.max(1)).try_for_each(|piece| outline.take_in(piece))?;
        Ok(outline.parts())
    }

    fn request(follow: Vec<String>, held: Vec<String>, id: String, details: usize) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: Some(Node { id, ..Node::default() }),
            type_url: "kind".into(),
            resource_names_subscribe: follow,
            initial_resource_versions: held.into_iter().map(|name| (name, "1".into())).collect(),
            error_detail: Some(rpc::Status {
                code: 3,
                message: "no".into(),
                details: vec![Packed::default(); details],
            }),
            ..Default::default()
        }
    }

    proptest! {
        #[test]
        fn every_request_is_counted_however_it_is_cut(
            follow in prop::collection::vec(".{0,9}", 0..9),
            held in prop::collection::vec("[a-z]{0,9}", 0..9),
            id in ".{0,200}",
            details in 0..9_usize,
            size in 1..40_usize,
        ) {
            let request = request(follow, held, id, details);
            let names = request.resource_names_subscribe.len() + request.initial_resource_versions.len();
            // A node, a type, a refusal with a code and a text.
            prop_assert_eq!(read(&request.encode_to_vec(), size, 100), Ok(names + details + 5));
        }

        #[test]
        fn whatever_comes_ends_and_what_decodes_is_not_called_malformed(
            bytes in prop::collection::vec(any::<u8>(), 0..60), size in 1..9_usize
        ) {
            let whole = read(&bytes, bytes.len(), 100);
            prop_assert_eq!(read(&bytes, size, 100).is_ok(), whole.is_ok());
            let groups = bytes.iter().any(|byte| matches!(byte & 7, 3 | 4));
            if DeltaDiscoveryRequest::decode(&*bytes).is_ok() && !groups {
                prop_assert!(whole.is_ok(), "{whole:?}");
            }
        }
    }

    #[test]
    fn what_would_take_much_is_refused_before_it_is_here() {
        let names = |count| vec![String::new(); count];
        let many = request(names(9), (0..12).map(|n| n.to_string()).collect(), String::new(), 0).encode_to_vec();
        assert_eq!((read(&many, 7, 10), read(&many, 7, 0)), (Ok(26), Ok(26)));
        let most = 2 * 10 + SINGLE;
        for many in [
            request(names(most), vec![], String::new(), 0),
            request(vec![], (0..most).map(|n| n.to_string()).collect(), String::new(), 0),
            request(vec![], vec![], String::new(), most),
        ] {
            assert_eq!(read(&many.encode_to_vec(), 7, 10), Err(Refused::TooMany(most)));
        }
        let long = request(vec![], vec![], "a".repeat(MAX_NODE), 0).encode_to_vec();
        assert_eq!(read(&long[..9], 1, 10), Err(Refused::Node(MAX_NODE + 4)));
    }
}
