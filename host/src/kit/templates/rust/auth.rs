//- use

use std::net::IpAddr;

use picam_plugin::{
    Inputs,
    auth::{self, Auth, Decision},
};
//- fields
/// Who knows it is let in, from anywhere. While it is empty nobody knows it.
word: String,
//- options
.option(
    "word",
    "none",
    "who gives it, as in /?word=sesame, is let in from anywhere",
)
//- start
word: word(config.get("word").unwrap_or_default())?,
//- hook
impl Auth for FrontDoor {
    fn reads(&self) -> Inputs {
        Inputs::none().query(&["word"]).cookies(&["word"]).peer()
    }

    fn decide(&mut self, request: &auth::Request) -> Decision {
        if is_near(&request.peer) {
            return Decision::allow(3_600, "/");
        }
        if let Some(word) = request.parameter("word")
            && self.is_the_word(&word)
        {
            // Players don't repeat the query when they fetch media; a cookie comes along by itself.
            let cookie = format!("word={word}; Path=/; HttpOnly; SameSite=Lax");
            return Decision::allow(3_600, "/").with_header("Set-Cookie", &cookie);
        }
        if let Some(word) = request.cookie("word")
            && self.is_the_word(&word)
        {
            return Decision::allow(3_600, "/");
        }
        Decision::deny(
            403,
            "You are not at home here. Add ?word= and the word to the address.",
        )
    }
}

impl FrontDoor {
    /// Looks at every letter, so that nobody learns from the time it takes how many were right.
    fn is_the_word(&self, said: &str) -> bool {
        let (said, word) = (said.as_bytes(), self.word.as_bytes());
        let differences = said.iter().zip(word).fold(0, |sum, (a, b)| sum | (a ^ b));
        !word.is_empty() && said.len() == word.len() && differences == 0
    }
}

/// The word, if a cookie can carry it as it is.
fn word(written: &str) -> Result<String, String> {
    if written.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        Ok(written.into())
    } else {
        Err("word: expected letters and digits, as in word=sesame".into())
    }
}

/// Whether an address belongs to this machine or to its local network.
fn is_near(peer: &str) -> bool {
    match peer.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        Ok(IpAddr::V6(v6)) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
        Err(_) => false,
    }
}

//- tests

fn request(peer: &str) -> auth::Request {
    auth::Request::to("/cam/live.m3u8").with_peer(peer)
}

#[test]
fn the_local_network_is_let_in() {
    let mut plugin = plugin([]);
    for peer in ["127.0.0.1", "192.168.1.7", "::ffff:10.0.0.1", "fd00::1"] {
        assert!(
            matches!(plugin.decide(&request(peer)), Decision::Allow(_)),
            "{peer}"
        );
    }
}

#[test]
fn from_elsewhere_only_the_word_helps() {
    let mut plugin = plugin([("word", "sesame")]);
    let stranger = request("203.0.113.9");
    assert!(matches!(plugin.decide(&stranger), Decision::Deny(_)));
    let wrong = stranger.clone().with_parameter("word", "sesam");
    assert!(matches!(plugin.decide(&wrong), Decision::Deny(_)));
    let right = stranger.clone().with_parameter("word", "sesame");
    let Decision::Allow(permission) = plugin.decide(&right) else {
        panic!("the word lets in");
    };
    assert_eq!(permission.headers[0].name, "Set-Cookie");
    let again = stranger.with_cookie("word", "sesame");
    assert!(matches!(plugin.decide(&again), Decision::Allow(_)));
}

#[test]
fn without_a_word_nobody_knows_it() {
    let empty = request("203.0.113.9").with_parameter("word", "");
    assert!(matches!(plugin([]).decide(&empty), Decision::Deny(_)));
}
