use super::{
    DocumentSpec, Scope,
    bindings::exports::picam::plugin::playlist,
    failure::flat,
    inputs::{self, is_token},
};
use crate::live::ENDINGS;

/// Documents that one plugin may write.
const DOCUMENTS_MOST: usize = 32;
/// Bytes of a document's path, and of a content type.
const NAME_MOST: usize = 100;
/// Addresses below `/cam/` that the host answers itself.
const HOST_NAMES: [&str; 5] = ["live.mp4", "snapshot.jpg", "mjpeg", "overlay", "time"];

/// Turns what a plugin says of its documents into our own type, or says what is wrong with it.
pub(super) fn check(documents: Vec<playlist::Document>) -> Result<Vec<DocumentSpec>, String> {
    if documents.is_empty() {
        return Err("it writes no document, so that it would be without effect".to_owned());
    }
    if documents.len() > DOCUMENTS_MOST {
        return Err(format!(
            "it has {} documents; at most {DOCUMENTS_MOST} are allowed",
            documents.len()
        ));
    }
    let mut checked: Vec<DocumentSpec> = Vec::with_capacity(documents.len());
    for document in documents {
        let path = flat(&document.path);
        let document =
            check_one(document).map_err(|why| format!("its document `{path}`: {why}"))?;
        if checked.iter().any(|other| same_address(other, &document)) {
            return Err(format!("it has two documents `{path}` at one address"));
        }
        checked.push(document);
    }
    Ok(checked)
}

/// Whether two documents would be asked for by the same address.
pub(super) fn same_address(a: &DocumentSpec, b: &DocumentSpec) -> bool {
    a.scope == b.scope && a.path == b.path
}

fn check_one(document: playlist::Document) -> Result<DocumentSpec, String> {
    check_path(&document.path)?;
    check_content_type(&document.content_type)?;
    let reads = document.reads;
    if reads.method || reads.peer || reads.form {
        return Err(
            "a document is the same for every viewer and method, so it can't read method, peer or form".to_owned(),
        );
    }
    Ok(DocumentSpec {
        path: document.path,
        scope: match document.scope {
            playlist::Scope::Stream => Scope::Stream,
            playlist::Scope::Presentation => Scope::Presentation,
        },
        content_type: document.content_type,
        reads: inputs::check(reads)?,
        stale_if_error: true,
    })
}

fn check_path(path: &str) -> Result<(), String> {
    let unreserved = |c: u8| c.is_ascii_alphanumeric() || b"-._".contains(&c);
    if path.is_empty() || path.len() > NAME_MOST {
        return Err(format!("a path has 1 to {NAME_MOST} bytes"));
    }
    if path.contains('/') {
        return Err(
            "a path is a file name, without a slash; `scope` says where it lies".to_owned(),
        );
    }
    if path.starts_with('.') || !path.bytes().all(unreserved) {
        return Err(
            "a path is made of letters, digits, `-`, `.` and `_`, and doesn't begin with a dot"
                .to_owned(),
        );
    }
    // With the ending of media, a document could take the address of a segment.
    if HOST_NAMES.contains(&path) || ENDINGS.iter().any(|ending| path.ends_with(ending)) {
        return Err("names like this belong to the host and its media; choose another".to_owned());
    }
    Ok(())
}

/// `type/subtype`, with parameters or without, on one line.
pub(super) fn check_content_type(content_type: &str) -> Result<(), String> {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim_end();
    let sane = content_type.len() <= NAME_MOST
        && content_type.bytes().all(|c| (b' '..=b'~').contains(&c))
        && essence.split_once('/').is_some_and(|(kind, subtype)| {
            let token = |name: &str| !name.is_empty() && name.bytes().all(is_token);
            token(kind) && token(subtype)
        });
    if sane {
        Ok(())
    } else {
        Err(format!(
            "`{}` is no media type; one looks like application/vnd.apple.mpegurl",
            flat(content_type)
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str) -> playlist::Document {
        playlist::Document {
            path: path.to_owned(),
            scope: playlist::Scope::Stream,
            content_type: "application/vnd.apple.mpegurl".to_owned(),
            reads: playlist::Inputs {
                query: vec!["_HLS_msn".to_owned()],
                headers: vec!["Accept-Language".to_owned()],
                cookies: vec![],
                method: false,
                peer: false,
                form: false,
            },
        }
    }

    fn refused(change: impl FnOnce(&mut playlist::Document)) -> String {
        let mut changed = document("live.m3u8");
        change(&mut changed);
        check(vec![changed]).unwrap_err()
    }

    #[test]
    fn header_names_become_lower_case_and_all_else_stays() {
        let checked = check(vec![document("live.m3u8")]).unwrap();
        assert_eq!(checked[0].path, "live.m3u8");
        assert_eq!(checked[0].reads.query, ["_HLS_msn"]);
        assert_eq!(checked[0].reads.headers, ["accept-language"]);
    }

    #[test]
    fn a_path_is_a_plain_file_name_that_is_not_the_hosts() {
        for bad in [
            "", "a/b", "..", ".hidden", "~token", "a b", "a%2e", "ä", "live.mp4", "1.m4s", "mjpeg",
        ] {
            let error = refused(|document| document.path = bad.to_owned());
            assert!(
                error.starts_with(&format!("its document `{bad}`")),
                "{error}"
            );
        }
        assert!(refused(|document| document.path = "x".repeat(101)).contains("100"));
    }

    #[test]
    fn a_content_type_can_not_break_out_of_its_header() {
        for bad in ["", "text", "text/", "a/b\r\nX: y", "a b/c"] {
            let error = refused(|document| document.content_type = bad.to_owned());
            assert!(error.contains("media type"), "{error}");
        }
        let mut with_charset = document("a.txt");
        with_charset.content_type = "text/plain; charset=utf-8".to_owned();
        check(vec![with_charset]).unwrap();
    }

    #[test]
    fn what_would_make_documents_differ_by_viewer_can_not_be_read() {
        assert!(refused(|document| document.reads.peer = true).contains("peer"));
        assert!(
            refused(|document| document.reads.headers = vec!["Cookie".into()]).contains("cookies")
        );
        assert!(refused(|document| document.reads.headers = vec!["a b".into()]).contains("a b"));
        assert!(refused(|document| document.reads.query = vec!["x".into(); 17]).contains("17"));
    }

    #[test]
    fn documents_are_some_but_not_many_and_each_has_its_own_address() {
        assert!(check(vec![]).unwrap_err().contains("no document"));
        let many = (0..33).map(|n| document(&format!("{n}.txt"))).collect();
        assert!(check(many).unwrap_err().contains("33"));
        let twice = vec![document("a.txt"), document("a.txt")];
        assert!(check(twice).unwrap_err().contains("two documents `a.txt`"));
        let mut other = document("a.txt");
        other.scope = playlist::Scope::Presentation;
        check(vec![document("a.txt"), other]).unwrap();
    }
}
