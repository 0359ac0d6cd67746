//! The beginning of an answer's body, and whether that is all.
//!
//! Keeps: no more than `BODY_BYTES_MAX`, whatever was announced. What is not read to its end costs the connection.

use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::time::Sleep;

use crate::dispatcher::success::BODY_BYTES_MAX;

/// What was read.
pub(super) struct Read {
    /// The beginning.
    pub(super) bytes: Bytes,
    /// Whether there is no more.
    pub(super) is_whole: bool,
    /// Whether there would be more, but it does not come.
    pub(super) is_broken: bool,
}

/// Reads until the end, the bound, or the deadline.
pub(super) async fn read(mut body: Incoming, mut deadline: Pin<&mut Sleep>) -> Read {
    let (mut first, mut more) = (Bytes::new(), BytesMut::new());
    let (is_whole, is_broken) = loop {
        if body.is_end_stream() {
            break (true, false);
        }
        let frame = tokio::select! {
            // The deadline first: a body that never pauses must not outrun it.
            biased;
            () = &mut deadline => break (false, true),
            frame = body.frame() => frame,
        };
        let data = match frame {
            None => break (true, false),
            Some(Err(_)) => break (false, true),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        let room = BODY_BYTES_MAX - first.len() - more.len();
        let is_cut = data.len() > room;
        let data = data.slice(..data.len().min(room));
        if first.is_empty() {
            // Most bodies come in one piece, and are not copied.
            first = data;
        } else {
            more.extend_from_slice(&data);
        }
        if is_cut {
            break (false, false);
        }
    };
    Read { bytes: joined(first, more), is_whole, is_broken }
}

fn joined(first: Bytes, more: BytesMut) -> Bytes {
    if more.is_empty() {
        return first;
    }
    let mut all = BytesMut::with_capacity(first.len() + more.len());
    all.extend_from_slice(&first);
    all.extend_from_slice(&more);
    all.freeze()
}
