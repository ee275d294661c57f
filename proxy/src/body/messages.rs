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
}
