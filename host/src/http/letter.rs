use hyper::{
    HeaderMap, Method, Request,
    http::{HeaderName, HeaderValue, request::Parts},
};

/// A request as text, from which questions can be made anew: whoever is held while plugins are replaced by such as look at
/// something else is asked for that.
///
/// One allocation, and nothing of the connection's buffer, which would cost far more as long as a request is held.
pub(super) struct Letter {
    method: Method,
    /// The address in the first line, then the header fields that are text, each in a line.
    text: Box<str>,
}

impl Letter {
    pub(super) fn of(head: &Parts) -> Self {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(1_024);
        write!(text, "{}", head.uri).expect("a string takes everything");
        for (name, value) in &head.headers {
            // Others are nothing that a plugin could read.
            if let Ok(value) = value.to_str() {
                text.push('\n');
                text.push_str(name.as_str());
                text.push(':');
                text.push_str(value);
            }
        }
        Self {
            method: head.method.clone(),
            text: text.into(),
        }
    }

    /// The head of the request. `None` never comes, since the text was one.
    pub(super) fn head(&self) -> Option<Parts> {
        let mut lines = self.text.split('\n');
        let mut headers = HeaderMap::new();
        let uri = lines.next()?;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            headers.append(
                HeaderName::try_from(name).ok()?,
                HeaderValue::try_from(value).ok()?,
            );
        }
        let request = Request::builder().method(self.method.clone()).uri(uri);
        let (mut head, ()) = request.body(()).ok()?.into_parts();
        head.headers = headers;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_says_what_the_request_said() {
        for uri in ["/~t/cam/x?a=%20&b", "http://cam.example:80/x?y"] {
            let request = Request::builder()
                .method(Method::HEAD)
                .uri(uri)
                .header("cookie", "a=1; b=\"2:3\"")
                .header("cookie", "c=4")
                .header("x-empty", "")
                .header("x-tab", "a\tb")
                .header("x-other", HeaderValue::from_bytes(b"\xff").unwrap());
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            let read = Letter::of(&head).head().unwrap();
            head.headers.remove("x-other");
            assert_eq!(read.method, head.method);
            assert_eq!(read.uri, head.uri);
            assert_eq!(read.headers, head.headers);
        }
    }
}
