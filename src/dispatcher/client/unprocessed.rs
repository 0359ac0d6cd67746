//! Whether the other side, or our own end of the connection, says that nothing was done with a request.
//!
//! In: an error of hyper-util's client. Out: whether the request was certainly not processed, and whether it may go again
//! at once (RFC 9113, sections 6.8 and 8.7).
//! Keeps: h2 gives the error of a GOAWAY that came from there only to streams above its last one, and to requests that were
//! never begun, as long as a connection's tasks and those who send over it run on one thread, as in the dispatcher: on
//! several, a request could be begun, and told of a GOAWAY that covers it, at the same time. A stream within the last one
//! whose connection breaks gets what broke it, an error of input and output, or one of h2 itself.
//! Not here: how often it is sent again (`client`).

use std::error::Error as StdError;

use h2::Reason;

use super::tls::causes;

/// Whether the request of this error was certainly not processed.
pub(super) fn is_so(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| match cause.downcast_ref::<h2::Error>() {
        Some(error) => said_by(error).is_some(),
        // hyper says it of requests that it still has as they were given to it.
        None => cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled),
    })
}

/// Whether it may be sent again without a pause. Not to those who say that it is too much for them.
pub(super) fn may_go_at_once(error: &(dyn StdError + 'static)) -> bool {
    let is_too_much = |error: &h2::Error| said_by(error) == Some(Reason::ENHANCE_YOUR_CALM);
    is_so(error) && !causes(error).filter_map(|cause| cause.downcast_ref()).any(is_too_much)
}

/// Why the other side did not process it, if it says that it did not.
fn said_by(error: &h2::Error) -> Option<Reason> {
    let is_unprocessed = error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM);
    error.reason().filter(|_| error.is_remote() && is_unprocessed)
}
