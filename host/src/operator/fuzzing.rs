use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hyper::header::AUTHORIZATION;

use super::guard::{Guard, Token};

const TOKEN: &str = "0123456789abcdef";

/// Body of the fuzz target `operator`: whoever doesn't have the token stays outside, whatever he sends.
///
/// # Panics
///
/// When a rule is broken.
pub fn operator(input: &[u8]) {
    let Some((request, _)) = crate::http::fuzzing::parts(input) else {
        return;
    };
    let guard = |token| Guard::new(token).check(&request).is_ok();
    let has_token = request.headers.get(AUTHORIZATION).is_some_and(|value| {
        let field = value.as_bytes();
        let said = |text: &[u8]| memchr::memmem::find(text, TOKEN.as_bytes()).is_some();
        let credentials = field
            .iter()
            .position(|&byte| byte == b' ')
            .map(|space| field[space..].trim_ascii());
        said(field)
            || credentials
                .and_then(|text| BASE64.decode(text).ok())
                .is_some_and(|pair| said(&pair))
    });
    let token = Token::new(TOKEN).expect("a token of sixteen characters");
    if guard(Some(token)) {
        assert!(has_token, "a stranger came in");
    }
    // Without a token, a page of another site does not.
    if guard(None) {
        let site = request.headers.get("sec-fetch-site");
        assert!(site.is_none_or(|site| site == "same-origin"
            || site == "none"
            || request.uri.path() == "/"));
    }
}
