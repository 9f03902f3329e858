//! Follows the framing of HTTP/1 requests on a connection, for the two things that hyper keeps to itself.
//!
//! hyper folds two `Content-Length`s of equal value into one, where this gateway refuses every doubled length; and it does not
//! tell when the first byte of a head has come, from which the head timeout runs. So the bytes are looked at before hyper
//! parses them: heads line by line (most lines are skipped by `memchr`), bodies by their length alone.
//! Invariants: the guard only makes hyper stricter. On a second `Content-Length` it replaces that line's end by NUL, which
//! hyper refuses with 400. Where it loses track, since hyper will refuse the request anyway, it stops looking.
//! Bounds: one line of at most `LINE_KEPT_MAX` bytes is remembered between two reads.

use memchr::memchr;

/// Bytes of a line kept: enough to recognize the two headers and a length of 20 digits after some spaces.
const LINE_KEPT_MAX: usize = 96;

/// Follows one connection's requests.
#[derive(Debug)]
pub(crate) struct HeadGuard {
    state: State,
    /// The begin of a line that the last read cut, at most `LINE_KEPT_MAX` bytes of it.
    line: Vec<u8>,
    length: Option<u64>,
    is_chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between requests; empty lines are skipped.
    Between,
    /// In a head, in or before a line.
    Head,
    /// In a body of known length, with this much to come.
    Body(u64),
    /// In the line with a chunk's size.
    ChunkSize,
    /// In a chunk, with this much to come, its line end included.
    Chunk(u64),
    /// In the lines after the last chunk.
    Trailers,
    /// In a head that was spoiled.
    Spoiled,
    /// Not looking any more.
    Lost,
}

/// What the bytes just seen began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The first byte of a request's head.
    HeadBegun,
    /// A head that was spoiled: nothing of what follows may be read any more.
    Spoiled,
    /// Nothing new.
    Nothing,
}

// === impl HeadGuard ===

impl HeadGuard {
    /// A guard at the begin of a connection.
    pub(crate) fn new() -> Self {
        Self { state: State::Between, line: Vec::new(), length: None, is_chunked: false }
    }

    /// Whether everything that was read belongs to whole requests.
    pub(crate) fn is_between(&self) -> bool {
        self.state == State::Between
    }

    /// Whether a head was spoiled.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.state == State::Spoiled
    }

    /// Looks at what was read next, and spoils it where it must be refused.
    pub(crate) fn look(&mut self, read: &mut [u8]) -> Seen {
        let mut seen = Seen::Nothing;
        let mut at = 0;
        while at < read.len() {
            match self.state {
                State::Between => match read[at] {
                    b'\r' | b'\n' => at += 1,
                    _ => {
                        seen = Seen::HeadBegun;
                        self.length = None;
                        self.is_chunked = false;
                        self.state = State::Head;
                    }
                },
                State::Body(left) => {
                    at += self.skip(left, read.len() - at, State::Body, State::Between);
                }
                State::Chunk(left) => {
                    at += self.skip(left, read.len() - at, State::Chunk, State::ChunkSize);
                }
                State::Head | State::ChunkSize | State::Trailers => at = self.line(read, at),
                State::Spoiled => return Seen::Spoiled,
                State::Lost => break,
            }
        }
        if self.state == State::Spoiled { Seen::Spoiled } else { seen }
    }

    /// Takes what there is of `left`; how much that is.
    fn skip(&mut self, left: u64, there: usize, rest: fn(u64) -> State, after: State) -> usize {
        let there_wide = u64::try_from(there).unwrap_or(u64::MAX);
        if left > there_wide {
            self.state = rest(left - there_wide);
            return there;
        }
        self.state = after;
        usize::try_from(left).unwrap_or(there)
    }

    /// Takes one line, or the part of it that is there; where the next begins.
    fn line(&mut self, read: &mut [u8], at: usize) -> usize {
        let Some(length) = memchr(b'\n', &read[at..]) else {
            self.keep(&read[at..]);
            return read.len();
        };
        let end = at + length;
        if self.line.is_empty() {
            let verdict = self.take(&read[at..end]);
            self.obey(verdict, &mut read[end]);
        } else {
            self.keep(&read[at..end]);
            let line = std::mem::take(&mut self.line);
            let verdict = self.take(&line);
            self.obey(verdict, &mut read[end]);
            self.line = line;
            self.line.clear();
        }
        end + 1
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_KEPT_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn obey(&mut self, verdict: Verdict, line_end: &mut u8) {
        match verdict {
            Verdict::Go(state) => self.state = state,
            Verdict::Refuse => {
                *line_end = 0;
                self.state = State::Spoiled;
            }
        }
    }

    /// Judges one whole line, without its line feed.
    fn take(&mut self, line: &[u8]) -> Verdict {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.state {
            State::Head if line.is_empty() => Verdict::Go(self.after_head()),
            State::Head => self.header(line),
            State::ChunkSize => Verdict::Go(match chunk_size(line) {
                Some(0) => State::Trailers,
                Some(size) => size.checked_add(2).map_or(State::Lost, State::Chunk),
                None => State::Lost,
            }),
            State::Trailers if line.is_empty() => Verdict::Go(State::Between),
            State::Trailers => Verdict::Go(State::Trailers),
            state @ (State::Between
            | State::Body(_)
            | State::Chunk(_)
            | State::Spoiled
            | State::Lost) => Verdict::Go(state),
        }
    }

    fn header(&mut self, line: &[u8]) -> Verdict {
        // Only two names matter, and few lines begin like them.
        match line[0] | 0x20 {
            b'c' => {
                if let Some(value) = value_of(line, b"content-length") {
                    if self.length.is_some() {
                        return Verdict::Refuse;
                    }
                    let Some(length) = decimal(value) else {
                        return Verdict::Go(State::Lost);
                    };
                    self.length = Some(length);
                }
            }
            b't' if value_of(line, b"transfer-encoding").is_some() => self.is_chunked = true,
            _ => {}
        }
        Verdict::Go(State::Head)
    }

    fn after_head(&self) -> State {
        match (self.is_chunked, self.length) {
            (true, _) => State::ChunkSize,
            (false, Some(length)) if length > 0 => State::Body(length),
            (false, _) => State::Between,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Go(State),
    Refuse,
}

/// The value of a header line, where its name is this one.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    if !found.eq_ignore_ascii_case(name) {
        return None;
    }
    value.strip_prefix(b":").map(<[u8]>::trim_ascii)
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// The size in a chunk's first line; extensions are hyper's to judge.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 {
        return None;
    }
    line[..digits].iter().try_fold(0_u64, |sum, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        sum.checked_mul(16)?.checked_add(u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line (from 0) that the guard spoils, whatever way the text is cut into two reads.
    fn spoiled_line(text: &str) -> Option<usize> {
        let mut found = Vec::new();
        for cut in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            let mut guard = HeadGuard::new();
            let (first, second) = bytes.split_at_mut(cut);
            guard.look(first);
            guard.look(second);
            found.push(bytes.iter().zip(text.bytes()).position(|(now, before)| *now != before));
        }
        assert!(found.windows(2).all(|two| two[0] == two[1]), "depends on the cut: {found:?}");
        found[0].map(|at| text[..at].matches('\n').count())
    }

    #[test]
    fn a_second_length_is_spoiled_however_it_is_cut() {
        let rows = [
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\nHost: a\r\n\r\nabc", None),
            ("POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\nabc", Some(2)),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nContent-Length:0\r\nContent-Length:0\r\n\r\n",
                Some(6),
            ),
            // What looks like a head inside a body is none.
            (
                "POST / HTTP/1.1\r\nContent-Length: 42\r\n\r\n\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                None,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2A;x=y\r\n\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n\r\n0\r\nTrailer: x\r\n\r\n",
                None,
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n\r\n",
                Some(9),
            ),
            ("POST / HTTP/1.1\nContent-Length: 3\nContent-Length: 3\n\nabc", Some(2)),
        ];
        for (text, want) in rows {
            assert_eq!(spoiled_line(text), want, "{text:?}");
        }
    }

    #[test]
    fn the_first_byte_of_each_head_is_told() {
        let mut guard = HeadGuard::new();
        assert_eq!(guard.look(&mut b"\r\n".to_vec()), Seen::Nothing);
        assert_eq!(guard.look(&mut b"G".to_vec()), Seen::HeadBegun);
        assert_eq!(guard.look(&mut b"ET / HTTP/1.1\r\n\r\n".to_vec()), Seen::Nothing);
        assert_eq!(guard.look(&mut b"GET / HTTP/1.1\r\n\r\n".to_vec()), Seen::HeadBegun);
    }
}
