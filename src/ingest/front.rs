//! The front check: what every request must be before anybody looks at where it goes.
//!
//! In: a request's head. Out: the host that was asked, or the `Outcome` that refuses it.
//! Refuses what hyper lets through: no Host or two, methods that we do not serve, a body framed in two ways, a
//! transfer coding other than `chunked`, a target that is too long.

use http::{HeaderValue, Method, Uri, Version};

use super::outcome::Outcome;
use super::visit::Fields;

/// Bytes of a request target.
pub const URI_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a host with its port; a domain name has 253 at most.
const HOST_BYTES_MAX: usize = 253 + 6;

/// The host that was asked, without its port.
///
/// # Errors
/// The outcome that refuses the request.
pub(super) fn check<'a>(
    method: &Method,
    uri: &'a Uri,
    version: Version,
    fields: &Fields<'a>,
) -> Result<&'a str, Outcome> {
    if !matches!(*method, Method::GET | Method::HEAD | Method::POST | Method::OPTIONS) {
        return Err(Outcome::Method);
    }
    let target_bytes = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target_bytes > URI_BYTES_MAX {
        return Err(Outcome::UriTooLong);
    }
    check_framing(fields)?;
    host(uri, version, fields)
}

fn check_framing(fields: &Fields<'_>) -> Result<(), Outcome> {
    let Some(coding) = fields.coding else {
        return Ok(());
    };
    let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !is_chunked || fields.codings > 1 || fields.has_length {
        return Err(Outcome::Framing);
    }
    Ok(())
}

fn host<'a>(uri: &'a Uri, version: Version, fields: &Fields<'a>) -> Result<&'a str, Outcome> {
    let host = match fields.host {
        Some(_) if fields.hosts > 1 => return Err(Outcome::Host),
        // HTTP/2 has it in two places, which must not differ (RFC 9113, 8.3.1).
        Some(host) if version >= Version::HTTP_2 && differs(uri, host) => return Err(Outcome::Host),
        // A target in absolute form overrides the field (RFC 9112, 3.2.2).
        Some(_) if uri.authority().is_some() => uri.authority().map_or("", |host| host.as_str()),
        Some(host) => host.to_str().map_err(|_| Outcome::Host)?,
        None => match uri.authority() {
            Some(host) if version >= Version::HTTP_2 => host.as_str(),
            // HTTP/1.0 need not send one; we serve by host, so it must.
            _ => return Err(Outcome::Host),
        },
    };
    without_port(host).ok_or(Outcome::Host)
}

fn differs(uri: &Uri, host: &HeaderValue) -> bool {
    uri.authority().is_some_and(|named| !named.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

/// The name or address in a Host field, if it is one that can be.
fn without_port(host: &str) -> Option<&str> {
    if host.len() > HOST_BYTES_MAX {
        return None;
    }
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 1;
            let name = &host[..=end];
            let is_address =
                name[1..end].bytes().all(|byte| byte.is_ascii_hexdigit() || b":.".contains(&byte));
            (name.get(1..).filter(|_| is_address && end > 1).map(|_| name)?, &host[end + 1..])
        }
        None => {
            let end = host.find(':').unwrap_or(host.len());
            let name = &host[..end];
            let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            (Some(name).filter(|name| is_name && !name.is_empty())?, &host[end..])
        }
    };
    let is_port = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()),
    };
    is_port.then_some(name)
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::HOST;

    use super::*;

    fn checked(uri: &str, headers: &[(&'static str, &'static str)]) -> Result<String, Outcome> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let uri: Uri = uri.parse().unwrap();
        check(&Method::GET, &uri, Version::HTTP_11, &Fields::of(&map)).map(str::to_owned)
    }

    #[test]
    fn exactly_one_host_that_can_be_is_asked_for() {
        for (host, name) in [
            ("trk.example.com", "trk.example.com"),
            ("trk.example.com:8080", "trk.example.com"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("trk_1.example.com.", "trk_1.example.com."),
        ] {
            assert_eq!(checked("/", &[("host", host)]).as_deref(), Ok(name), "{host}");
        }
        for host in
            ["", ":80", "a b", "a/b", "a@b", "[::1", "[]", "[x]", "a:b", "a:123456", "a:80:80", "é.example"]
        {
            let mut map = HeaderMap::new();
            map.insert(HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
            let uri = Uri::from_static("/");
            let found = check(&Method::GET, &uri, Version::HTTP_11, &Fields::of(&map));
            assert_eq!(found, Err(Outcome::Host), "{host}");
        }
        assert_eq!(checked("/", &[]), Err(Outcome::Host));
        assert_eq!(checked("/", &[("host", "a"), ("host", "a")]), Err(Outcome::Host));
        assert_eq!(checked("http://b.example/x", &[("host", "a.example")]).as_deref(), Ok("b.example"));
        assert_eq!(checked("http://b.example/x", &[]), Err(Outcome::Host));
    }

    #[test]
    fn a_body_is_framed_in_one_way_that_we_know() {
        let host = ("host", "a");
        assert!(checked("/", &[host, ("content-length", "3")]).is_ok());
        assert!(checked("/", &[host, ("transfer-encoding", "Chunked")]).is_ok());
        for headers in [
            &[host, ("transfer-encoding", "chunked"), ("content-length", "3")][..],
            &[host, ("transfer-encoding", "gzip, chunked")],
            &[host, ("transfer-encoding", "identity")],
            &[host, ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        ] {
            assert_eq!(checked("/", headers), Err(Outcome::Framing), "{headers:?}");
        }
    }

    #[test]
    fn other_methods_and_long_targets_are_refused() {
        let mut map = HeaderMap::new();
        map.insert(HOST, HeaderValue::from_static("a"));
        let uri = Uri::from_static("/");
        for method in [Method::TRACE, Method::CONNECT, Method::PUT, Method::DELETE, Method::PATCH] {
            assert_eq!(
                check(&method, &uri, Version::HTTP_11, &Fields::of(&map)),
                Err(Outcome::Method),
                "{method}"
            );
        }
        let long = format!("/{}", "x".repeat(URI_BYTES_MAX));
        assert_eq!(checked(&long, &[("host", "a")]), Err(Outcome::UriTooLong));
        assert!(checked(&long[..URI_BYTES_MAX], &[("host", "a")]).is_ok());
    }
}
