//! As much of gRPC as one unary call needs, by hand: a message is a flag, a length, and bytes; its text is field 1.

use anyhow::{Context, bail};
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What clients call when they are told no other method.
pub(super) const METHOD: &str = "/proto.EchoTestService/Echo";
/// What they call for several messages, each of which comes back.
pub(super) const STREAM: &str = "/proto.EchoTestService/Stream";
/// What a kubelet asks.
pub(super) const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// Status 1 of its answer: serving.
pub(super) const SERVING: &[u8] = &[0x08, 0x01];

/// The one message of a body.
pub(super) fn framed(message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(5 + message.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).expect("messages here are short"));
    body.put_slice(message);
    body.freeze()
}

/// The first message of a body.
pub(super) fn unframed(mut body: Bytes) -> anyhow::Result<Bytes> {
    if body.len() < 5 {
        bail!("{} bytes are no gRPC message", body.len());
    }
    if body.get_u8() != 0 {
        bail!("a compressed message, which nobody asked for");
    }
    let length = usize::try_from(body.get_u32())?;
    if body.len() < length {
        bail!("{} bytes of a message of {length}", body.len());
    }
    Ok(body.split_to(length))
}

/// A message whose field 1 is this text.
pub(super) fn text(text: &str) -> Vec<u8> {
    let mut message = vec![0x0a];
    let mut length = text.len();
    while length >= 0x80 {
        message.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    message.push(u8::try_from(length).expect("seven bits"));
    message.extend_from_slice(text.as_bytes());
    message
}

/// The text in field 1, which comes first.
pub(super) fn text_of(message: &[u8]) -> anyhow::Result<String> {
    let mut rest = message.strip_prefix(&[0x0a]).context("no text in the first field")?;
    let (mut length, mut shift) = (0usize, 0u32);
    loop {
        let (byte, after) = rest.split_first().context("ends within a length")?;
        rest = after;
        length |= usize::from(byte & 0x7f).checked_shl(shift).context("an impossible length")?;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(rest.get(..length).context("ends within its text")?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_come_back() {
        for length in [0, 1, 127, 128, 300, 70_000] {
            let sent = "x".repeat(length);
            assert_eq!(text_of(&unframed(framed(&text(&sent))).unwrap()).unwrap(), sent);
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let whole = framed(&text("hello"));
        for length in 0..whole.len() {
            assert!(unframed(whole.slice(..length)).is_err(), "{length}");
        }
        assert!(text_of(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).is_err());
    }
}
