use memchr::memmem;

/// A step through a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A start code: a NAL unit begins.
    Begin,
    /// Bytes of the NAL unit.
    Bytes(&'a [u8]),
    /// The NAL unit is complete.
    End,
    /// Bytes that belong to no NAL unit; said once for each run of them.
    Stray,
}

/// Finds NAL units in a byte stream (Annex B, B.1.2), however it is cut into pieces, without copying.
///
/// Zeros at the end of a piece are held back until it shows whether they are the NAL unit's own, trailing zeros, or the
/// next start code. `h264-reader` has such a splitter too, but it keeps to itself where NAL units lie and whether there
/// were bytes between them, which is what tells damage and the end of an access unit on a pipe.
#[derive(Debug)]
pub(super) struct Splitter {
    state: State,
    /// Bytes taken so far.
    offset: u64,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Before a start code. `zeros` counts up to 2.
    Outside { zeros: u8, stray: bool },
    /// In a NAL unit, with this many zeros held back (up to 2).
    Inside { zeros: u8 },
    /// A NAL unit was ended by two zeros and this byte, which is the next one.
    Ended { start_code: bool },
}

impl Splitter {
    pub(super) fn new() -> Self {
        Self {
            state: State::Outside {
                zeros: 0,
                stray: false,
            },
            offset: 0,
        }
    }

    /// Bytes taken from the stream so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Zeros held back: they belong to the NAL unit or follow it.
    pub(super) fn held_back(&self) -> u64 {
        match self.state {
            State::Inside { zeros } => u64::from(zeros),
            State::Ended { .. } => 2,
            State::Outside { .. } => 0,
        }
    }

    /// A NAL unit has begun, and the last byte was neither its end nor possibly a part of the next start code.
    pub(super) fn inside_nal(&self) -> bool {
        matches!(self.state, State::Inside { zeros: 0 })
    }

    /// Declares that the NAL unit at hand, if any, is complete. True if there was one.
    pub(super) fn end(&mut self) -> bool {
        let State::Inside { zeros } = self.state else {
            return false;
        };
        self.state = State::Outside {
            zeros,
            stray: false,
        };
        true
    }

    /// The next step, and `input` moved past the bytes it took; nothing once `input` is used up.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        match self.state {
            State::Outside { zeros, stray } => self.outside(input, zeros, stray),
            State::Inside { zeros } => self.inside(input, zeros),
            State::Ended { start_code } => {
                self.take(input, 1);
                if start_code {
                    self.state = State::Inside { zeros: 0 };
                    return Some(Piece::Begin);
                }
                self.outside(input, 2, false)
            }
        }
    }

    fn outside<'a>(
        &mut self,
        input: &mut &'a [u8],
        mut zeros: u8,
        stray: bool,
    ) -> Option<Piece<'a>> {
        for (at, &byte) in input.iter().enumerate() {
            match byte {
                0 => zeros = (zeros + 1).min(2),
                1 if zeros == 2 => {
                    self.take(input, at + 1);
                    self.state = State::Inside { zeros: 0 };
                    return Some(Piece::Begin);
                }
                _ if stray => zeros = 0,
                _ => {
                    self.take(input, at + 1);
                    self.state = State::Outside {
                        zeros: 0,
                        stray: true,
                    };
                    return Some(Piece::Stray);
                }
            }
        }
        self.take(input, input.len());
        self.state = State::Outside { zeros, stray };
        None
    }

    fn inside<'a>(&mut self, input: &mut &'a [u8], held: u8) -> Option<Piece<'a>> {
        const ZEROS: [u8; 2] = [0; 2];
        let first = *input.first()?;
        match (held, first) {
            (0, _) => {}
            (1, 0) => {
                self.take(input, 1);
                self.state = State::Inside { zeros: 2 };
                return self.inside(input, 2);
            }
            (2, 0 | 1) => {
                // The byte stays in the input, so that offset and held-back zeros tell where the NAL unit ended.
                self.state = State::Ended {
                    start_code: first == 1,
                };
                return Some(Piece::End);
            }
            _ => {
                self.state = State::Inside { zeros: 0 };
                return Some(Piece::Bytes(&ZEROS[..usize::from(held)]));
            }
        }
        let mut from = 0;
        let length = loop {
            match memmem::find(&input[from..], &ZEROS) {
                Some(at) => match input.get(from + at + 2) {
                    // Emulation prevention, or a sequence that may not occur and is the decoder's to conceal.
                    Some(2..) => from += at + 3,
                    _ => break from + at,
                },
                None => break input.len() - usize::from(input.ends_with(&[0])),
            }
        };
        let zeros = (input.len() - length).min(2);
        let bytes = self.take(input, length);
        self.take(input, zeros);
        self.state = State::Inside { zeros: zeros as u8 };
        if bytes.is_empty() {
            return self.inside(input, zeros as u8);
        }
        Some(Piece::Bytes(bytes))
    }

    fn take<'a>(&mut self, input: &mut &'a [u8], length: usize) -> &'a [u8] {
        let (taken, rest) = input.split_at(length);
        *input = rest;
        self.offset += length as u64;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NAL units and strays, from the stream in pieces of the given size.
    fn split(stream: &[u8], size: usize) -> (Vec<Vec<u8>>, usize) {
        let (mut nals, mut strays) = (Vec::<Vec<u8>>::new(), 0);
        let mut splitter = Splitter::new();
        for mut chunk in stream.chunks(size) {
            while let Some(piece) = splitter.next(&mut chunk) {
                match piece {
                    Piece::Begin => nals.push(Vec::new()),
                    Piece::Bytes(bytes) => nals.last_mut().unwrap().extend(bytes),
                    Piece::End => {}
                    Piece::Stray => strays += 1,
                }
            }
            assert!(chunk.is_empty());
        }
        assert_eq!(splitter.offset(), stream.len() as u64);
        (nals, strays)
    }

    #[test]
    fn start_codes_have_three_or_more_bytes_and_zeros_may_trail() {
        let stream = [
            0, 0, 0, 0, 1, 7, 0, 5, 0, 0, 1, 8, 0, 0, 3, 0, 0, 3, 0, 0, 0, 0, 0, 0, 1, 9, 0,
        ];
        for size in 1..=stream.len() {
            let (nals, strays) = split(&stream, size);
            assert_eq!(
                nals,
                [vec![7, 0, 5], vec![8, 0, 0, 3, 0, 0, 3], vec![9]],
                "in pieces of {size}"
            );
            assert_eq!(strays, 0);
        }
    }

    #[test]
    fn bytes_outside_nal_units_are_reported_once_a_run() {
        let stream = [9, 9, 0, 0, 1, 7, 0, 0, 0, 6, 6, 0, 0, 1, 8];
        for size in 1..=stream.len() {
            assert_eq!(
                split(&stream, size),
                (vec![vec![7], vec![8]], 2),
                "in pieces of {size}"
            );
        }
    }

    #[test]
    fn an_empty_nal_unit_does_not_swallow_its_neighbour() {
        for size in 1..=7 {
            let (nals, _) = split(&[0, 0, 1, 0, 0, 1, 7], size);
            assert_eq!(nals, [vec![], vec![7]], "in pieces of {size}");
        }
    }
}
