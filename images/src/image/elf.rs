//! What an image needs to know of a program: for which machine it is, what loads it, and which libraries it asks for.
//! Reads ELF of 64 bits, little-endian, and nothing else.

use super::Platform;
use anyhow::{Context, bail, ensure};
use std::ops::Range;

const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;

const NEEDED: u64 = 1;
const STRINGS: u64 = 5;

/// What is asked of a program or a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    pub platform: Platform,
    /// The program that loads this one; a static program has none.
    pub interpreter: Option<String>,
    /// Names of the libraries it wants, in its order.
    pub needed: Vec<String>,
}

impl Elf {
    /// Reads the headers.
    ///
    /// # Errors
    /// When these are not the bytes of a Linux program for a platform that images are made for.
    pub fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        ensure!(bytes.starts_with(b"\x7fELF\x02\x01"), "no program of 64 bits, little-endian");
        let platform = match number(bytes, 18, 2)? {
            62 => Platform::Amd64,
            183 => Platform::Arm64,
            other => bail!("a program for machine {other}, for which no images are made"),
        };
        let segments = segments(bytes)?;
        let interpreter = match segments.iter().find(|segment| segment.kind == INTERPRETER) {
            Some(segment) => Some(string(bytes, segment.file.start)?),
            None => None,
        };
        let mut elf = Elf { platform, interpreter, needed: Vec::new() };
        if let Some(dynamic) = segments.iter().find(|segment| segment.kind == DYNAMIC) {
            elf.needed = needed(bytes, &segments, dynamic.file.clone())?;
        }
        Ok(elf)
    }
}

struct Segment {
    kind: u32,
    file: Range<usize>,
    address: u64,
}

fn segments(bytes: &[u8]) -> anyhow::Result<Vec<Segment>> {
    let (table, size, count) = (number(bytes, 32, 8)?, number(bytes, 54, 2)?, number(bytes, 56, 2)?);
    let mut segments = Vec::new();
    for index in 0..count {
        let at = usize::try_from(table.saturating_add(index * size))?;
        let start = usize::try_from(number(bytes, at.saturating_add(8), 8)?)?;
        let length = usize::try_from(number(bytes, at.saturating_add(32), 8)?)?;
        segments.push(Segment {
            kind: u32::try_from(number(bytes, at, 4)?)?,
            file: start..start.saturating_add(length),
            address: number(bytes, at.saturating_add(16), 8)?,
        });
    }
    Ok(segments)
}

fn needed(bytes: &[u8], segments: &[Segment], dynamic: Range<usize>) -> anyhow::Result<Vec<String>> {
    let entries: Vec<(u64, u64)> = dynamic
        .step_by(16)
        .map(|at| Ok((number(bytes, at, 8)?, number(bytes, at + 8, 8)?)))
        .take_while(|entry: &anyhow::Result<_>| !matches!(entry, Ok((0, _))))
        .collect::<anyhow::Result<_>>()?;
    let Some((_, strings)) = entries.iter().find(|(tag, _)| *tag == STRINGS) else { return Ok(Vec::new()) };
    let names = entries.iter().filter(|(tag, _)| *tag == NEEDED);
    names.map(|(_, offset)| string(bytes, in_file(segments, strings.saturating_add(*offset))?)).collect()
}

/// Where in the file an address of memory comes from.
fn in_file(segments: &[Segment], address: u64) -> anyhow::Result<usize> {
    for segment in segments.iter().filter(|segment| segment.kind == LOAD) {
        if let Some(offset) = address.checked_sub(segment.address)
            && usize::try_from(offset)? < segment.file.len()
        {
            return Ok(segment.file.start + usize::try_from(offset)?);
        }
    }
    bail!("address {address:#x} is in no segment")
}

fn number(bytes: &[u8], at: usize, length: usize) -> anyhow::Result<u64> {
    let field = bytes.get(at..at.saturating_add(length)).context("ends within its headers")?;
    Ok(field.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

fn string(bytes: &[u8], at: usize) -> anyhow::Result<String> {
    let rest = bytes.get(at..).context("ends within its headers")?;
    let end = rest.iter().position(|byte| *byte == 0).context("ends within a name")?;
    Ok(String::from_utf8(rest[..end].to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_running_test_names_its_loader_and_the_c_library() {
        let elf = Elf::parse(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert_eq!(elf.platform, Platform::here().unwrap());
        assert!(elf.interpreter.is_some_and(|loader| loader.contains("ld-")));
        assert!(elf.needed.iter().any(|library| library.starts_with("libc.so")), "{:?}", elf.needed);
    }

    #[test]
    fn what_is_cut_off_is_refused_wherever_it_ends() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for length in [0, 3, 6, 19, 40, 63, 64, 100] {
            assert!(Elf::parse(&whole[..length]).is_err(), "{length}");
        }
    }
}
