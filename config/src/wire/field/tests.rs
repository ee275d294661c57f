//! A resource that gained fields, a choice and a word of level 2.

use super::*;
use prost::Message as _;

/// As the generator would write it.
mod v1 {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(uint32, tag = "1")]
        pub(super) level: u32,
        #[prost(string, tag = "2")]
        pub(super) name: String,
        #[prost(message, optional, tag = "3")]
        pub(super) inner: Option<Inner>,
        #[prost(uint32, tag = "4")]
        pub(super) later: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Inner {
        #[prost(bool, repeated, tag = "1")]
        pub(super) flags: Vec<bool>,
        #[prost(enumeration = "Word", tag = "2")]
        pub(super) word: i32,
        #[prost(message, optional, tag = "3")]
        pub(super) choice: Option<Choice>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    pub(super) enum Word {
        Unspecified = 0,
        Old = 1,
        New = 2,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Choice {
        #[prost(oneof = "choice::Kind", tags = "1, 2")]
        pub(super) kind: Option<choice::Kind>,
    }

    pub(super) mod choice {
        #[derive(Clone, PartialEq, prost::Message)]
        pub(in super::super) struct Old {}

        #[derive(Clone, PartialEq, prost::Oneof)]
        pub(in super::super) enum Kind {
            #[prost(message, tag = "1")]
            Old(Old),
            #[prost(uint32, tag = "2")]
            New(u32),
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Sample {
    name: Arc<str>,
    inner: Inner,
    later: u32,
}

#[derive(Debug, Clone, PartialEq)]
struct Inner {
    flags: Vec<bool>,
    word: Word,
    choice: Choice,
}

#[derive(Debug, Clone, PartialEq)]
enum Word {
    Old,
    New,
}

#[derive(Debug, Clone, PartialEq)]
enum Choice {
    Old,
    New(u32),
}

resource!(Sample => Sample { name, inner, later @ 2 });
message!(Inner => Inner { flags @ 2, word, choice });
word!(Word => Word { Old, New @ 3 });
choice!(Choice => Choice in choice { Old, New(number) @ 2 });

fn today() -> Sample {
    Sample { name: "a".into(), inner: Inner { flags: vec![], word: Word::Old, choice: Choice::Old }, later: 0 }
}

fn level(sample: &Sample) -> u32 {
    let wire: v1::Sample = sample.put(&mut Level::FIRST.clone());
    let read = v1::Sample::decode(&wire.encode_to_vec()[..]).unwrap();
    assert_eq!(Sample::take(read.clone()).unwrap(), *sample);
    read.level
}

#[test]
fn what_uses_nothing_new_is_of_the_first_level() {
    assert_eq!(level(&today()), 1);
}

#[test]
fn what_uses_a_later_field_is_of_its_level_however_deep_it_stands() {
    let today = today();
    let inner = |change: fn(&mut Inner)| {
        let mut sample = today.clone();
        change(&mut sample.inner);
        sample
    };
    let cases = [
        (Sample { later: 1, ..today.clone() }, 2),
        (inner(|i| i.flags.push(false)), 2),
        (inner(|i| i.choice = Choice::New(0)), 2),
        (inner(|i| i.word = Word::New), 3),
        (Sample { later: 1, ..inner(|i| i.word = Word::New) }, 3),
    ];
    for (sample, want) in cases {
        assert_eq!(level(&sample), want, "{sample:?}");
    }
}
