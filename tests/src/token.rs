//! Tokens for the stock plugin `auth-token`.

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};

const SECRET: &str = "a-secret-of-32-characters-at-least";
/// What its option `keys` is to be.
pub const KEY: &str = "key:a-secret-of-32-characters-at-least";

/// A token that opens everything for so many seconds, made as a shell would.
pub fn lasting(seconds: u64) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = format!("key.{}.", now + seconds);
    let mut openssl = Command::new("sh")
        .arg("-c")
        .arg("openssl dgst -sha256 -hmac \"$SECRET\" -binary | openssl base64 -A | tr +/ -_ | tr -d =")
        .env("SECRET", SECRET)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("starting openssl")?;
    let mut stdin = openssl.stdin.take().context("standard input is piped")?;
    stdin.write_all(claims.as_bytes())?;
    drop(stdin);
    let signature = String::from_utf8(openssl.wait_with_output()?.stdout)?;
    ensure!(signature.len() == 43, "openssl wrote {signature:?}");
    Ok(format!("{claims}.{signature}"))
}
