//! What a peer sends over HTTP/2, frame by frame: what the library refuses never reaches a service, and must be counted too.
//!
//! In: the peer's bytes, in pieces of any length. Out: how many requests were begun, and whether a head is at hand.
//! Keeps: nothing is copied, and no byte is looked at but those of frames' own heads.
//! Not here: whether any of it is allowed; the library judges that and ends the connection.

/// What a connection begins with (RFC 9113, 3.4).
const PREFACE_LEN: usize = 24;
/// In front of every frame (RFC 9113, 4.1).
const HEAD_LEN: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Frames {
    preface_left: usize,
    head: [u8; HEAD_LEN],
    /// Bytes of the head that are there.
    head_bytes: usize,
    /// Bytes of the frame at hand behind its head that are still to come.
    payload_left: usize,
    /// The newest stream.
    newest: u32,
    /// Bytes of the block of headers at hand, if one is, and whether it begins a request.
    block: Option<(usize, bool)>,
    ended: u64,
    begun: u64,
    too_long: u64,
    block_bytes_max: usize,
}

impl Frames {
    /// Before the first byte. Longer blocks of headers are counted as such.
    pub(super) fn new(block_bytes_max: usize) -> Self {
        Self {
            preface_left: PREFACE_LEN,
            head: [0; HEAD_LEN],
            head_bytes: 0,
            payload_left: 0,
            newest: 0,
            block: None,
            ended: 0,
            begun: 0,
            too_long: 0,
            block_bytes_max,
        }
    }

    /// Requests whose heads were complete.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Those of them whose heads were too long.
    pub(super) fn too_long(&self) -> u64 {
        self.too_long
    }

    /// What was complete so far: the preface, frames, and heads in several frames as one. What is at hand is of another number
    /// than what was at hand before.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    /// Whether a request's head is at hand.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.block, Some((_, true)))
    }

    /// Whether something is at hand that should be complete soon: anything but a body.
    pub(super) fn is_within(&self) -> bool {
        let in_frame = self.head_bytes > 0 && (self.head_bytes < HEAD_LEN || self.head[3] != DATA);
        (1..PREFACE_LEN).contains(&self.preface_left) || in_frame || self.block.is_some()
    }

    /// Takes what was read next.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        self.ended += u64::from(preface > 0 && self.preface_left == 0);
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.head_bytes < HEAD_LEN {
                let taken = bytes.len().min(HEAD_LEN - self.head_bytes);
                self.head[self.head_bytes..][..taken].copy_from_slice(&bytes[..taken]);
                self.head_bytes += taken;
                bytes = &bytes[taken..];
                if self.head_bytes < HEAD_LEN {
                    return;
                }
                self.begin_frame();
            }
            let taken = bytes.len().min(self.payload_left);
            self.payload_left -= taken;
            bytes = &bytes[taken..];
            if self.payload_left == 0 {
                self.end_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, _, d, e, f, g] = self.head;
        self.payload_left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        // The highest bit means nothing.
        let stream = u32::from(d & 0x7f) << 24 | u32::from(e) << 16 | u32::from(f) << 8 | u32::from(g);
        match kind {
            HEADERS => {
                self.block = Some((self.payload_left, stream > self.newest));
                self.newest = self.newest.max(stream);
            }
            CONTINUATION => {
                if let Some((bytes, _)) = &mut self.block {
                    *bytes += self.payload_left;
                }
            }
            _ => {}
        }
    }

    fn end_frame(&mut self) {
        self.head_bytes = 0;
        let [_, _, _, kind, flags, ..] = self.head;
        if matches!(kind, HEADERS | CONTINUATION)
            && flags & END_HEADERS != 0
            && let Some((bytes, true)) = self.block.take()
        {
            self.begun += 1;
            self.too_long += u64::from(bytes > self.block_bytes_max);
        }
        self.ended += u64::from(self.block.is_none());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: u8 = 4;
    const END_STREAM: u8 = 1;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let bytes = u8::try_from(payload.len()).unwrap();
        [&[0, 0, bytes, kind, flags, 0x80, 0, 0, stream], payload].concat()
    }

    fn connection() -> Vec<u8> {
        [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, b""),
            frame(HEADERS, END_HEADERS, 1, b"head"),
            frame(DATA, END_STREAM, 1, b"body"),
            frame(HEADERS, 0, 3, b"a head "),
            frame(CONTINUATION, 0, 3, b"in several "),
            frame(CONTINUATION, END_HEADERS, 3, b"frames"),
            // Trailers begin nothing.
            frame(HEADERS, END_HEADERS | END_STREAM, 3, b"t"),
            frame(HEADERS, END_HEADERS | END_STREAM, 5, b""),
        ]
        .concat()
    }

    #[test]
    fn requests_are_counted_however_the_bytes_are_cut() {
        let whole = connection();
        for cut in 0..=whole.len() {
            let mut frames = Frames::new(20);
            frames.read(&whole[..cut]);
            frames.read(&whole[cut..]);
            assert_eq!((frames.begun(), frames.too_long()), (3, 1), "cut at byte {cut}");
            assert!(!frames.is_within() && !frames.is_in_head(), "cut at byte {cut}");
        }
        let mut frames = Frames::new(100);
        whole.iter().for_each(|byte| frames.read(&[*byte]));
        assert_eq!((frames.begun(), frames.too_long()), (3, 0));
    }

    #[test]
    fn a_head_is_at_hand_until_its_last_frame_has_come() {
        let mut frames = Frames::new(100);
        assert!(!frames.is_within(), "before the first byte a connection idles");
        frames.read(b"PRI");
        assert!(frames.is_within());
        frames.read(b" * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        assert!(!frames.is_within());
        frames.read(&frame(HEADERS, 0, 1, b"x"));
        assert!(frames.is_within() && frames.is_in_head() && frames.begun() == 0);
        frames.read(&frame(CONTINUATION, END_HEADERS, 1, b"x"));
        assert!(!frames.is_within() && frames.begun() == 1);
        let body = frame(DATA, 0, 1, b"body");
        frames.read(&body[..12]);
        assert!(!frames.is_within(), "how long a body may take is not decided here");
        frames.read(&body[12..]);
        let settings = frame(SETTINGS, 0, 0, b"123456");
        frames.read(&settings[..12]);
        assert!(frames.is_within() && !frames.is_in_head());
        // The preface, a head in two frames, a body.
        assert_eq!(frames.ended(), 3);
        frames.read(&[&settings[12..], &settings[..12]].concat());
        assert!(frames.is_within() && frames.ended() == 4, "another one is at hand");
    }

    /// Whatever comes, no length leads out of the bytes that are there.
    #[test]
    fn any_bytes_are_read() {
        let mut state = 7u32;
        let mut bytes = vec![0; 64 * 1024];
        for byte in &mut bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *byte = state.to_le_bytes()[3] % 12;
        }
        for start in 0..512 {
            Frames::new(100).read(&bytes[start..]);
        }
    }
}
