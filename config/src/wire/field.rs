//! How a message carries a field of the model. One trait, and three macros that apply it to whole types: each takes
//! the list of fields or variants once and makes both directions of it. A field added to the model alone, or to the
//! message alone, does not compile.

use super::error::{At, FieldError};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

/// Longest text, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// Longest run of bytes: certificates, bodies of direct responses.
pub(super) const MAX_BYTES: usize = 1 << 20;
/// Most items of one list, set or map.
const MAX_ITEMS: usize = 1 << 16;
/// Longest duration of the protobuf type: ten thousand years.
const MAX_SECONDS: u64 = 315_576_000_000;

/// The least level that understands what was put into a message so far. A resource says it, so that a program of an
/// earlier level refuses what it would half understand, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level(u32);

impl Level {
    /// That of a message without fields.
    pub(super) const FIRST: Level = Level(1);

    /// Something was put in that only programs of this level and later ones know.
    pub(super) fn need(&mut self, level: u32) {
        self.0 = self.0.max(level);
    }

    /// The number that the wire has.
    pub(super) fn number(self) -> u32 {
        self.0
    }
}

/// A value of the model that a message carries as a `W`.
pub(super) trait Field<W>: Sized {
    /// The model's value as the message has it. What it sets raises the level to what that needs.
    fn put(&self, level: &mut Level) -> W;
    /// The message's value, checked.
    fn take(wire: W) -> Result<Self, FieldError>;
}

/// A message and the struct it stands for, which have the same field names. A field that came with a later level than
/// the first has that level behind it, `name @ 2`: it counts where the field is set, that is, has not the wire's default.
/// A function at the end checks the whole.
macro_rules! message {
    ($model:ty => $wire:ident { $($field:ident $(@ $since:literal)?),* $(,)? } $(, $check:path)?) => {
        $crate::wire::field::message!(@ $model, $wire, [$($field $(@ $since)?),*], [], [$($check)?]);
    };
    (@ $model:ty, $wire:ident, [$($field:ident $(@ $since:literal)?),*], [$($level:ident)?], [$($check:path)?]) => {
        impl Field<v1::$wire> for $model {
            fn put(&self, level: &mut $crate::wire::field::Level) -> v1::$wire {
                let Self { $($field),* } = self;
                let wire = v1::$wire { $($level: 0,)? $($field: Field::put($field, level)),* };
                $($(if $crate::wire::field::is_set(&wire.$field) { level.need($since); })?)*
                v1::$wire { $($level: level.number(),)? ..wire }
            }

            fn take(wire: v1::$wire) -> Result<Self, FieldError> {
                let v1::$wire { $($level: _,)? $($field),* } = wire;
                let model = Self { $($field: Field::take($field).at(stringify!($field))?),* };
                $($check(&model)?;)?
                Ok(model)
            }
        }

        $crate::wire::field::required!($model => $wire);
    };
}

/// As [`message`], for a resource: its message also says the least level that understands it. It is not part of another
/// message, so that what it was given to raise is its own.
macro_rules! resource {
    ($model:ty => $wire:ident { $($field:ident $(@ $since:literal)?),* $(,)? } $(, $check:path)?) => {
        $crate::wire::field::message!(@ $model, $wire, [$($field $(@ $since)?),*], [level], [$($check)?]);
    };
}

/// A message with one `oneof kind` and the enum it stands for, which have the same variants; one without content has
/// an empty message of its name. The module is the one in which the generator nests the message's types. A variant of a
/// later level has it behind it, as a field of [`message`] does.
macro_rules! choice {
    ($model:ty => $wire:ident in $module:ident { $($variant:ident $(($value:ident))? $(@ $since:literal)?),* $(,)? }) => {
        impl Field<v1::$wire> for $model {
            fn put(&self, level: &mut $crate::wire::field::Level) -> v1::$wire {
                let kind = match self {
                    $(Self::$variant $(($value))? => {
                        $(level.need($since);)?
                        v1::$module::Kind::$variant($crate::wire::field::choice!(@put level $module $variant $($value)?))
                    })*
                };
                v1::$wire { kind: Some(kind) }
            }

            fn take(wire: v1::$wire) -> Result<Self, FieldError> {
                Ok(match wire.kind.ok_or_else(FieldError::unset)? {
                    $(v1::$module::Kind::$variant(_value) =>
                        Self::$variant $(({ let $value = _value; Field::take($value).at_choice(stringify!($variant))? }))?,)*
                })
            }
        }

        $crate::wire::field::required!($model => $wire);
    };
    (@put $level:ident $module:ident $variant:ident $value:ident) => { Field::put($value, $level) };
    (@put $level:ident $module:ident $variant:ident) => {{
        let _ = $level;
        v1::$module::$variant {}
    }};
}

/// An enum without content in its variants. 0 and numbers unknown here are errors.
macro_rules! word {
    ($model:ty => $wire:ident { $($variant:ident $(@ $since:literal)?),* $(,)? }) => {
        impl Field<i32> for $model {
            fn put(&self, level: &mut $crate::wire::field::Level) -> i32 {
                let _ = &level;
                match self {
                    $(Self::$variant => {
                        $(level.need($since);)?
                        v1::$wire::$variant as i32
                    })*
                }
            }

            fn take(wire: i32) -> Result<Self, FieldError> {
                match v1::$wire::try_from(wire) {
                    Ok(v1::$wire::Unspecified) => Err(FieldError::unset()),
                    $(Ok(v1::$wire::$variant) => Ok(Self::$variant),)*
                    Err(_) => Err(FieldError::new(format_args!("has the unknown value {wire}"))),
                }
            }
        }
    };
}

/// A list that needs a message around it, because it is part of a choice.
macro_rules! wrapped {
    ($model:ty => $($wire:ident)::+ . $field:ident) => {
        impl Field<v1::$($wire)::+> for $model {
            fn put(&self, level: &mut $crate::wire::field::Level) -> v1::$($wire)::+ {
                v1::$($wire)::+ { $field: Field::put(self, level) }
            }

            fn take(wire: v1::$($wire)::+) -> Result<Self, FieldError> {
                Field::take(wire.$field).at(stringify!($field))
            }
        }
    };
}

/// A message field that must be set.
macro_rules! required {
    ($model:ty => $wire:ident) => {
        impl Field<Option<v1::$wire>> for $model {
            fn put(&self, level: &mut $crate::wire::field::Level) -> Option<v1::$wire> {
                Some(Field::put(self, level))
            }

            fn take(wire: Option<v1::$wire>) -> Result<Self, FieldError> {
                Field::take(wire.ok_or_else(FieldError::unset)?)
            }
        }
    };
}

pub(super) use {choice, message, required, resource, word, wrapped};

/// Values that a message carries unchanged.
macro_rules! verbatim {
    ($($ty:ty)*) => {$(
        impl Field<$ty> for $ty {
            fn put(&self, _: &mut Level) -> $ty {
                *self
            }

            fn take(wire: $ty) -> Result<Self, FieldError> {
                Ok(wire)
            }
        }
    )*};
}

verbatim!(bool u32 i64);

/// Small numbers, which the wire has as 32 bits.
macro_rules! small {
    ($($ty:ty)*) => {$(
        impl Field<u32> for $ty {
            fn put(&self, _: &mut Level) -> u32 {
                u32::from(*self)
            }

            fn take(wire: u32) -> Result<Self, FieldError> {
                wire.try_into().map_err(|_| FieldError::new(format_args!("{wire} is above {}", <$ty>::MAX)))
            }
        }
    )*};
}

small!(u8 u16);

impl Field<String> for Arc<str> {
    fn put(&self, _: &mut Level) -> String {
        self.as_ref().to_owned()
    }

    fn take(wire: String) -> Result<Self, FieldError> {
        bounded(wire.len(), MAX_TEXT, "bytes")?;
        Ok(wire.into())
    }
}

impl Field<Bytes> for Bytes {
    fn put(&self, _: &mut Level) -> Bytes {
        self.clone()
    }

    /// A copy: a slice would keep the buffer of the whole response alive.
    fn take(wire: Bytes) -> Result<Self, FieldError> {
        bounded(wire.len(), MAX_BYTES, "bytes")?;
        Ok(Bytes::copy_from_slice(&wire))
    }
}

impl Field<Bytes> for IpAddr {
    fn put(&self, _: &mut Level) -> Bytes {
        match self {
            IpAddr::V4(ip) => Bytes::copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => Bytes::copy_from_slice(&ip.octets()),
        }
    }

    fn take(wire: Bytes) -> Result<Self, FieldError> {
        <[u8; 4]>::try_from(&wire[..])
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(&wire[..]).map(IpAddr::from))
            .map_err(|_| FieldError::new(format_args!("an address has 4 or 16 bytes, not {}", wire.len())))
    }
}

impl Field<prost_types::Duration> for Duration {
    /// Beyond ten thousand years, ten thousand years.
    fn put(&self, _: &mut Level) -> prost_types::Duration {
        let seconds = i64::try_from(self.as_secs().min(MAX_SECONDS)).expect("the bound fits in 63 bits");
        let nanos = i32::try_from(self.subsec_nanos()).expect("less than 10^9 fits in 31 bits");
        prost_types::Duration { seconds, nanos }
    }

    fn take(wire: prost_types::Duration) -> Result<Self, FieldError> {
        let seconds = u64::try_from(wire.seconds).ok().filter(|s| *s <= MAX_SECONDS);
        let nanos = u32::try_from(wire.nanos).ok().filter(|n| *n < 1_000_000_000);
        seconds
            .zip(nanos)
            .map(|(seconds, nanos)| Duration::new(seconds, nanos))
            .ok_or_else(|| FieldError::new("is negative or not a valid duration"))
    }
}

impl Field<Option<prost_types::Duration>> for Duration {
    fn put(&self, level: &mut Level) -> Option<prost_types::Duration> {
        Some(self.put(level))
    }

    fn take(wire: Option<prost_types::Duration>) -> Result<Self, FieldError> {
        Field::take(wire.ok_or_else(FieldError::unset)?)
    }
}

impl<T: Field<W>, W> Field<Option<W>> for Option<T> {
    fn put(&self, level: &mut Level) -> Option<W> {
        self.as_ref().map(|v| v.put(level))
    }

    fn take(wire: Option<W>) -> Result<Self, FieldError> {
        wire.map(T::take).transpose()
    }
}

impl<T: Field<W>, W> Field<Vec<W>> for Vec<T> {
    fn put(&self, level: &mut Level) -> Vec<W> {
        self.iter().map(|v| v.put(level)).collect()
    }

    fn take(wire: Vec<W>) -> Result<Self, FieldError> {
        items(wire).collect()
    }
}

impl<T: Field<W> + Ord, W> Field<Vec<W>> for BTreeSet<T> {
    fn put(&self, level: &mut Level) -> Vec<W> {
        self.iter().map(|v| v.put(level)).collect()
    }

    fn take(wire: Vec<W>) -> Result<Self, FieldError> {
        items(wire).collect()
    }
}

impl<K: Field<WK> + Ord, V: Field<WV>, WK: Ord + ToString, WV> Field<BTreeMap<WK, WV>> for BTreeMap<K, V> {
    fn put(&self, level: &mut Level) -> BTreeMap<WK, WV> {
        self.iter().map(|(key, value)| (key.put(level), value.put(level))).collect()
    }

    fn take(wire: BTreeMap<WK, WV>) -> Result<Self, FieldError> {
        bounded(wire.len(), MAX_ITEMS, "items")?;
        let entry = |(key, value): (WK, WV)| {
            let place = format!("[{}]", key.to_string());
            let key = K::take(key).at(&place)?;
            Ok((key, V::take(value).at(&place)?))
        };
        wire.into_iter().map(entry).collect()
    }
}

/// The items of a list, each with its place in the error.
fn items<T: Field<W>, W>(wire: Vec<W>) -> impl Iterator<Item = Result<T, FieldError>> {
    let bound = bounded(wire.len(), MAX_ITEMS, "items").err();
    // A list that is too long yields its error first, and collecting ends there.
    bound.map(Err).into_iter().chain(wire.into_iter().enumerate().map(|(i, item)| T::take(item).at_item(i)))
}

/// Whether a field of a message has another value than the one it has where it was not sent.
pub(super) fn is_set<W: Default + PartialEq>(wire: &W) -> bool {
    *wire != W::default()
}

/// Refuses what is larger than the receiver is ready to hold.
fn bounded(size: usize, limit: usize, unit: &str) -> Result<(), FieldError> {
    if size > limit {
        return Err(FieldError::new(format_args!("has {size} {unit}, more than {limit}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
