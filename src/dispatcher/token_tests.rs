//! What is a token, and what an issuer's answer says. Calls and files: `tests/client.rs`.

use super::*;

fn answered(status: u16, body: &'static str) -> Result<(HeaderValue, Duration), TokenError> {
    token_in(&Received {
        status,
        retry_after: None,
        body: Bytes::from_static(body.as_bytes()),
        is_whole: true,
        is_broken: false,
    })
}

#[test]
fn an_issuer_says_the_token_and_how_long_it_holds() {
    for (body, seconds) in [
        (r#"{"access_token":"a.b-c","expires_in":3599,"token_type":"Bearer"}"#, 3599),
        (r#"{"access_token":"a.b-c","expires_in":"60"}"#, 60),
        (r#"{"access_token":"a.b-c"}"#, 3600),
        (r#"{"access_token":"a.b-c","expires_in":-5}"#, 3600),
        (r#"{"access_token":"a.b-c","expires_in":1e30}"#, 3600),
        (r#"{"access_token":"a.b-c","expires_in":99999999}"#, 24 * 3600),
    ] {
        let (value, life) = answered(200, body).unwrap();
        assert_eq!((value.as_bytes(), life), (&b"Bearer a.b-c"[..], Duration::from_secs(seconds)), "{body}");
        assert!(value.is_sensitive());
    }
}

#[test]
fn a_refusal_is_told_from_what_passes_by_itself() {
    let refused = |status, code: &str| Err(TokenError::Refused { status, code: code.into() });
    for (status, body, expected) in [
        (400, r#"{"error":"invalid_grant","error_description":"hidden"}"#, refused(400, "invalid_grant")),
        (401, "hidden", refused(401, "")),
        (400, r#"{"error":"Hidden secret"}"#, refused(400, "")),
        (429, "", Err(TokenError::Malformed { status: 429 })),
        (503, r#"{"access_token":"a"}"#, Err(TokenError::Malformed { status: 503 })),
        (302, "", Err(TokenError::Malformed { status: 302 })),
        (200, "{}", Err(TokenError::Malformed { status: 200 })),
        (200, r#"{"access_token":"a\r\nHost: b"}"#, Err(TokenError::Malformed { status: 200 })),
        (200, r#"{"access_token":""}"#, Err(TokenError::Malformed { status: 200 })),
    ] {
        assert_eq!(answered(status, body), expected, "{status} {body}");
    }
    let refused = TokenError::Refused { status: 400, code: "invalid_grant".into() };
    assert_eq!(refused.to_string(), "the token was refused with 400 (invalid_grant)");
    assert!(matches!(refused.answer(), Answer::Whole { status: 401, .. }));
}

#[test]
fn a_form_is_escaped() {
    let form = [("scope".to_owned(), "a b&c=d".to_owned()), ("client_secret".to_owned(), "ü+".to_owned())];
    let request = request(&Uri::from_static("https://t.example/token"), &form).unwrap();
    assert_eq!(request.body(), "scope=a%20b%26c%3Dd&client_secret=%C3%BC%2B");
}
