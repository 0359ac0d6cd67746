//! The PROXY protocol, version 2: a load balancer says, before the first request, whose connection it passes on.
//!
//! In: the first bytes of a connection on a listener that is set to expect them. Out: the address of whoever is
//! behind the balancer, or nothing where it speaks for itself (health checks).
//! Refuses: anything else, version 1 included; the connection is then closed. It is never guessed whether it is
//! there, because then anybody could claim to be anyone.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes behind the fixed part: addresses take 36 or, for Unix sockets, 216; the rest are extensions.
const REST_BYTES_MAX: u16 = 1024;

/// Reads the header.
///
/// # Errors
/// `InvalidData` for anything but a header of version 2; what reading says.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<IpAddr>> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    if head[..12] != SIGNATURE || head[12] >> 4 != 2 {
        return Err(invalid("no PROXY header of version 2"));
    }
    let rest_bytes = u16::from(head[14]) << 8 | u16::from(head[15]);
    if rest_bytes > REST_BYTES_MAX {
        return Err(invalid("the PROXY header is too long"));
    }
    let mut rest = vec![0; rest_bytes.into()];
    stream.read_exact(&mut rest).await?;
    match (head[12] & 0xf, head[13] >> 4) {
        // LOCAL: the balancer's own connection.
        (0, _) => Ok(None),
        (1, 1) => match rest.first_chunk::<12>() {
            Some(&[a, b, c, d, ..]) => Ok(Some(Ipv4Addr::new(a, b, c, d).into())),
            None => Err(invalid("the PROXY header is too short")),
        },
        (1, 2) => match rest.first_chunk::<36>().and_then(|rest| rest.first_chunk::<16>()) {
            Some(source) => Ok(Some(IpAddr::from(Ipv6Addr::from(*source)).to_canonical())),
            None => Err(invalid("the PROXY header is too short")),
        },
        (1, _) => Ok(None),
        _ => Err(invalid("an unknown PROXY command")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u8::try_from(rest.len()).unwrap();
        [&SIGNATURE[..], &[0x20 | command, family << 4 | 1, 0, len], rest].concat()
    }

    fn read_all(bytes: &[u8]) -> io::Result<(Option<IpAddr>, usize)> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut left = bytes;
            let found = read(&mut left).await?;
            Ok((found, left.len()))
        })
    }

    #[test]
    fn the_address_behind_the_balancer_is_read_and_nothing_more() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let mut bytes = header(1, 1, &[&v4[..], b"\x04\x00\x03abc"].concat());
        bytes.extend(b"GET /");
        assert_eq!(read_all(&bytes).unwrap(), (Some("203.0.113.7".parse().unwrap()), 5));
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(read_all(&header(1, 2, &v6)).unwrap().0, Some("2001:db8::7".parse().unwrap()));
    }

    #[test]
    fn the_balancer_may_speak_for_itself() {
        assert_eq!(read_all(&header(0, 0, b"")).unwrap().0, None);
        assert_eq!(read_all(&header(1, 0, b"")).unwrap().0, None);
    }

    #[test]
    fn anything_else_is_refused() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let good = header(1, 1, &v4);
        for cut in 0..good.len() {
            assert!(read_all(&good[..cut]).is_err(), "cut at byte {cut}");
        }
        assert!(read_all(&header(1, 1, &v4[..11])).is_err());
        assert!(read_all(&header(2, 1, &v4)).is_err());
        assert!(read_all(b"PROXY TCP4 203.0.113.7 10.0.0.1 4660 80\r\n").is_err());
        assert!(read_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").is_err());
    }
}
