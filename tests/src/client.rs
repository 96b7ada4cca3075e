use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use tokio::time::timeout;

use crate::PATIENCE;

/// An HTTP client of one host. It follows no redirect and decodes nothing by itself, so that a test sees what was sent.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    inner: reqwest::Client,
}

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    /// As in 200.
    pub status: u16,
    /// Protocol it came over.
    pub version: reqwest::Version,
    /// Header fields.
    pub headers: HeaderMap,
    /// As sent, still compressed where `content-encoding` says so.
    pub body: Bytes,
    /// The certificate (DER) that was shown, over TLS.
    pub certificate: Option<Vec<u8>>,
}

impl Client {
    /// HTTP/1.1.
    pub fn http1(address: SocketAddr) -> Result<Self> {
        Self::new(address, builder().http1_only())
    }

    /// HTTP/2 without TLS, by prior knowledge.
    pub fn http2(address: SocketAddr) -> Result<Self> {
        Self::new(address, builder().http2_prior_knowledge())
    }

    /// Over TLS, by HTTP/1.1 or by what is agreed on, trusting nobody but this certificate (PEM).
    pub fn secure(address: SocketAddr, trusted: &str, http1_only: bool) -> Result<Self> {
        let trusted = reqwest::Certificate::from_pem(trusted.as_bytes())?;
        let mut builder = builder().tls_certs_only([trusted]).tls_info(true);
        if http1_only {
            builder = builder.http1_only();
        }
        Ok(Self {
            base: format!("https://{address}"),
            ..Self::new(address, builder)?
        })
    }

    fn new(address: SocketAddr, builder: reqwest::ClientBuilder) -> Result<Self> {
        // Wanted by every client, whether it speaks TLS or not. Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let inner = builder
            .no_proxy()
            .no_gzip()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("setting up an HTTP client")?;
        Ok(Self {
            base: format!("http://{address}"),
            inner,
        })
    }

    /// A request to be added to and then passed to [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.inner.request(method, format!("{}{path}", self.base))
    }

    /// Sends it and reads the whole response.
    pub async fn send(&self, request: RequestBuilder) -> Result<Reply> {
        let exchange = async {
            let response = request.send().await?;
            let (status, version, headers) = (
                response.status().as_u16(),
                response.version(),
                response.headers().clone(),
            );
            let tls = response.extensions().get::<reqwest::tls::TlsInfo>();
            let certificate = tls.and_then(|tls| tls.peer_certificate().map(<[u8]>::to_vec));
            let body = response.bytes().await?;
            Ok::<_, reqwest::Error>(Reply {
                status,
                version,
                headers,
                body,
                certificate,
            })
        };
        let reply = timeout(PATIENCE, exchange).await.context("no answer")??;
        Ok(reply)
    }

    /// GET of a path (with its query).
    pub async fn get(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::GET, path))
            .await
            .with_context(|| format!("GET {path}"))
    }

    /// GET of a path, with header fields.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        let request = headers
            .iter()
            .fold(self.request(Method::GET, path), |request, (name, value)| {
                request.header(*name, *value)
            });
        self.send(request)
            .await
            .with_context(|| format!("GET {path}"))
    }

    /// HEAD of a path.
    pub async fn head(&self, path: &str) -> Result<Reply> {
        self.send(self.request(Method::HEAD, path))
            .await
            .with_context(|| format!("HEAD {path}"))
    }

    /// The body of a path that must answer 200.
    pub async fn fetch(&self, path: &str) -> Result<Bytes> {
        let reply = self.get(path).await?;
        ensure!(
            reply.status == 200,
            "GET {path} answers {}: {}",
            reply.status,
            reply.text()
        );
        Ok(reply.body)
    }

    /// A value of an operator's `/metrics`, by the name and labels that stand before it.
    ///
    /// # Errors
    /// It isn't there.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let text = self.get("/metrics").await?.text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("there is no metric {name}:\n{text}"))?;
        Ok(value.parse()?)
    }

    /// A response whose body is still to be read, for responses that have no end.
    pub async fn open(&self, path: &str) -> Result<reqwest::Response> {
        timeout(PATIENCE, self.request(Method::GET, path).send())
            .await
            .with_context(|| format!("GET {path}: no answer"))?
            .with_context(|| format!("GET {path}"))
    }
}

impl Reply {
    /// A header field as text; empty where it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `max-age` of `cache-control`, in seconds.
    pub fn max_age(&self) -> Option<u64> {
        self.header("cache-control")
            .split(',')
            .find_map(|directive| directive.trim().strip_prefix("max-age="))
            .and_then(|seconds| seconds.parse().ok())
    }
}

/// reqwest wants a provider of cryptography, with TLS or without: the host's.
fn builder() -> reqwest::ClientBuilder {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
}

/// A relative address seen from a path (RFC 3986 section 5.2, as far as playlists use it: no `..`).
pub(crate) fn resolve(base: &str, reference: &str) -> String {
    if reference.starts_with('/') {
        return reference.to_owned();
    }
    let path = base.split('?').next().unwrap_or(base);
    let directory = &path[..path.rfind('/').map_or(0, |slash| slash + 1)];
    format!("{directory}{reference}")
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn a_relative_address_lies_beside_its_document() {
        assert_eq!(
            resolve("/cam/live.m3u8?a=/b", "x/media.m3u8"),
            "/cam/x/media.m3u8"
        );
        assert_eq!(resolve("/cam/x/media.m3u8", "7.m4s"), "/cam/x/7.m4s");
        assert_eq!(resolve("/cam/x/media.m3u8", "/7.m4s"), "/7.m4s");
    }
}
