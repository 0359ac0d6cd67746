//! A stream that gives up on a peer that takes nothing of what is written.
//!
//! hyper has no timer for that, and the operators' door has few places: whoever asks for much and reads none of it would
//! keep one for good.
//!
//! In: a stream, and how long it may take. Out: the same stream, with `TimedOut` where that has passed without a byte.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// See the module.
#[derive(Debug)]
pub(super) struct Taken<S> {
    stream: S,
    within: Duration,
    /// Ends the wait, while there is one.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Taken<S> {
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self { stream, within, stuck: None }
    }

    /// What is done is passed on; what is not, waits for so long and no longer.
    fn judge<T>(&mut self, done: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if done.is_ready() {
            self.stuck = None;
            return done;
        }
        let within = self.within;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(within)));
        stuck.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taken<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taken<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(done, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(done, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(done, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
    }

    #[test]
    fn who_takes_nothing_is_given_up() {
        run(async {
            let (ours, _theirs) = tokio::io::duplex(8);
            let mut taken = Taken::new(ours, Duration::from_millis(1));
            let error = taken.write_all(&[7; 100]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        });
    }

    #[test]
    fn who_takes_a_little_at_a_time_is_waited_for() {
        run(async {
            let (ours, mut theirs) = tokio::io::duplex(8);
            let mut taken = Taken::new(ours, Duration::from_secs(3600));
            let reader = async {
                let mut bytes = [0; 100];
                for byte in &mut bytes {
                    *byte = theirs.read_u8().await.unwrap();
                    tokio::task::yield_now().await;
                }
                bytes
            };
            let (written, read) = tokio::join!(taken.write_all(&[7; 100]), reader);
            written.unwrap();
            assert_eq!((read, taken.stuck.is_some()), ([7; 100], false));
        });
    }
}
