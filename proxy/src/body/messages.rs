//! gRPC messages in a body, counted.

/// Counts length-prefixed messages in a body that comes in pieces.
#[derive(Debug, Default)]
pub struct Messages {
    count: u64,
    /// Bytes of the prefix seen so far, and the length they give.
    prefix: usize,
    length: u32,
    /// Bytes of the message still to come.
    left: u32,
}

impl Messages {
    /// The next piece.
    pub fn read(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.left > 0 {
                let skip = piece.len().min(self.left as usize);
                self.left -= skip as u32;
                piece = &piece[skip..];
                continue;
            }
            if self.prefix > 0 {
                self.length = (self.length << 8) | u32::from(piece[0]);
            }
            self.prefix += 1;
            piece = &piece[1..];
            if self.prefix == 5 {
                self.count += 1;
                self.left = self.length;
                (self.prefix, self.length) = (0, 0);
            }
        }
    }

    /// Whether a message has begun and not ended.
    pub fn is_within_one(&self) -> bool {
        self.left > 0 || self.prefix > 0
    }

    /// Messages begun.
    pub fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let mut body = Vec::new();
        for length in [0_u8, 3, 7] {
            body.extend([0, 0, 0, 0, length]);
            body.extend(std::iter::repeat_n(9, usize::from(length)));
        }
        for size in 1..body.len() {
            let mut messages = Messages::default();
            body.chunks(size).for_each(|piece| messages.read(piece));
            assert_eq!(messages.count(), 3, "pieces of {size}");
        }
    }

    #[test]
    fn between_messages_there_is_none() {
        let mut messages = Messages::default();
        let within = [0, 0, 0, 0, 2, 9, 9, 0].map(|byte| {
            messages.read(&[byte]);
            messages.is_within_one()
        });
        assert_eq!(within, [true, true, true, true, true, true, false, true]);
    }
}
