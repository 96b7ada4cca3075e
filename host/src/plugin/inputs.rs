use super::{Inputs, Reads, bindings::picam::plugin::types, failure::flat};

/// Inputs of each kind that a hook may read.
const INPUTS_MOST: usize = 16;
/// Bytes of an input's name.
const NAME_MOST: usize = 100;

/// What `auth` says that it reads, as our own type, or what is wrong with it.
pub(super) fn check_auth(reads: types::Inputs) -> Result<Reads, String> {
    let (method, peer, form) = (reads.method, reads.peer, reads.form);
    let inputs = check(reads).map_err(|why| format!("what `auth` reads: {why}"))?;
    Ok(Reads {
        inputs,
        method,
        peer,
        form,
    })
}

/// The names of inputs, checked, those of header fields in lower case.
pub(super) fn check(reads: types::Inputs) -> Result<Inputs, String> {
    for (kind, names) in [
        ("query parameters", &reads.query),
        ("header fields", &reads.headers),
        ("cookies", &reads.cookies),
    ] {
        if names.len() > INPUTS_MOST {
            return Err(format!(
                "it reads {} {kind}; at most {INPUTS_MOST} are allowed",
                names.len()
            ));
        }
        if names
            .iter()
            .any(|name| name.is_empty() || name.len() > NAME_MOST)
        {
            return Err(format!("names of {kind} have 1 to {NAME_MOST} bytes"));
        }
    }
    if let Some(name) = reads
        .headers
        .iter()
        .find(|name| !name.bytes().all(is_token))
    {
        return Err(format!("`{}` is no name of a header field", flat(name)));
    }
    let mut headers = reads.headers;
    for name in &mut headers {
        name.make_ascii_lowercase();
    }
    if headers.iter().any(|name| name == "cookie") {
        return Err(
            "cookies are declared one by one, under `cookies`, not as a header field".to_owned(),
        );
    }
    Ok(Inputs {
        query: reads.query,
        headers,
        cookies: reads.cookies,
    })
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(c: u8) -> bool {
    c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c)
}
