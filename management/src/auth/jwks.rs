//! The keys of an issuer, from a file or a URL.
//!
//! They are fetched when a token needs them and they are old, or when a token names one that is not
//! there, since issuers rotate keys; not more often than [`RETRY`], so that tokens with made-up names
//! cost the issuer nothing. Where fetching fails, the keys of before stay.
//! Bounds: [`BODY_BYTES_MAX`], [`KEYS_MAX`], [`FETCH_TIMEOUT`]. Redirects are not followed.

use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tollgate_ledger_store::Clock;

/// Most bytes of a set of keys.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Most keys of an issuer; further ones are passed over.
const KEYS_MAX: usize = 100;

/// How long an issuer may take to answer.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// How soon an issuer is asked again.
const RETRY: Duration = Duration::from_secs(10);

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// A file with a JSON Web Key Set.
    File(PathBuf),
    /// The same by `http://` or `https://`.
    Url(Uri),
}

/// Why keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer within {FETCH_TIMEOUT:?}")]
    Timeout,
    #[error("cannot be read")]
    Io(#[from] std::io::Error),
    #[error("has no host, or is neither http nor https")]
    Url,
    #[error("does not speak HTTP")]
    Http(#[from] hyper::Error),
    #[error("cannot be asked for")]
    Request(#[from] http::Error),
    #[error("answers {0}")]
    Status(http::StatusCode),
    #[error("breaks off, or is larger than {BODY_BYTES_MAX} bytes")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("is not a JSON Web Key Set")]
    Set(#[from] serde_json::Error),
    #[error("has no key that can be used")]
    Empty,
}

/// A key and what it is for.
#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// Where the issuer says one.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    fetched_at: Option<Duration>,
    tried_at: Option<Duration>,
}

/// Keys as they were fetched.
pub(super) struct Keys {
    place: KeyPlace,
    refresh: Duration,
    clock: Arc<dyn Clock>,
    known: StdMutex<Known>,
    /// Held while they are fetched. Only who has no key waits for it: an issuer that is away must
    /// not hold up those whose keys are known.
    fetching: Mutex<()>,
}

#[derive(Deserialize)]
struct Set {
    /// One by one, so that a key of a kind that is not known hides no other.
    keys: Vec<Value>,
}

// === impl Keys ===

impl Keys {
    pub(super) fn new(place: KeyPlace, refresh: Duration, clock: Arc<dyn Clock>) -> Keys {
        Keys { place, refresh, clock, known: StdMutex::default(), fetching: Mutex::default() }
    }

    /// The key with this id that is for this algorithm; without an id, the only one.
    pub(super) async fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let (found, is_due) = self.look(id, algorithm);
        if !is_due {
            return found;
        }
        let _fetching = match found {
            Some(found) => match self.fetching.try_lock() {
                Ok(fetching) => fetching,
                Err(_) => return Some(found),
            },
            None => self.fetching.lock().await,
        };
        // Somebody may have fetched them meanwhile.
        let (found, is_due) = self.look(id, algorithm);
        if !is_due {
            return found;
        }
        let now = self.clock.monotonic();
        self.known().tried_at = Some(now);
        match self.fetch().await {
            Ok(keys) => {
                let mut known = self.known();
                (known.keys, known.fetched_at) = (keys, Some(now));
            }
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(place = ?self.place, %error, source, "keys of the issuer stay as they are");
            }
        }
        self.known().pick(id, algorithm)
    }

    /// A key as far as keys are known, and whether they are to be fetched for it.
    fn look(&self, id: Option<&str>, algorithm: Algorithm) -> (Option<DecodingKey>, bool) {
        let known = self.known();
        let now = self.clock.monotonic();
        let age = |at: Option<Duration>| at.map(|at| now.saturating_sub(at));
        let is_old = age(known.fetched_at).is_none_or(|age| age >= self.refresh);
        let may_ask = age(known.tried_at).is_none_or(|age| age >= RETRY);
        let found = known.pick(id, algorithm);
        let is_due = may_ask && (is_old || found.is_none());
        (found, is_due)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<Vec<Key>, FetchError> {
        let body = match &self.place {
            KeyPlace::File(path) => tokio::fs::read(path).await?.into(),
            KeyPlace::Url(url) => tokio::time::timeout(FETCH_TIMEOUT, get(url))
                .await
                .map_err(|_| FetchError::Timeout)??,
        };
        let set: Set = serde_json::from_slice(&body)?;
        let keys: Vec<Key> = set.keys.into_iter().take(KEYS_MAX).filter_map(Key::read).collect();
        if keys.is_empty() { Err(FetchError::Empty) } else { Ok(keys) }
    }
}

// === impl Known ===

impl Known {
    fn pick(&self, id: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.is_for(algorithm) && (id.is_none() || key.id.as_deref() == id));
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Some(key.key.clone()),
            // Which of several is meant is not guessed.
            (_, Some(_)) | (None, None) => None,
        }
    }
}

// === impl Key ===

impl Key {
    /// A public key for signatures; `None` for every other.
    fn read(value: Value) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        match jwk.algorithm {
            AlgorithmParameters::OctetKey(_) => return None,
            AlgorithmParameters::RSA(_)
            | AlgorithmParameters::EllipticCurve(_)
            | AlgorithmParameters::OctetKeyPair(_) => {}
        }
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let algorithm = match &jwk.common.key_algorithm {
            Some(named) => Some(named.to_string().parse().ok()?),
            None => None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some(Key { id: jwk.common.key_id, algorithm, key })
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        let family = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return false,
            Algorithm::ES256 | Algorithm::ES384 => AlgorithmFamily::Ec,
            Algorithm::EdDSA => AlgorithmFamily::Ed,
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => AlgorithmFamily::Rsa,
        };
        self.key.family() == family && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// The body at a URL.
async fn get(url: &Uri) -> Result<Bytes, FetchError> {
    let host = url.host().ok_or(FetchError::Url)?;
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match url.scheme_str() {
        Some("http") => {
            let stream = TcpStream::connect((bare, url.port_u16().unwrap_or(80))).await?;
            exchange(stream, url).await
        }
        Some("https") => {
            let stream = TcpStream::connect((bare, url.port_u16().unwrap_or(443))).await?;
            let name = ServerName::try_from(bare.to_owned()).map_err(|_| FetchError::Url)?;
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            let config = ClientConfig::builder_with_provider(Arc::new(
                tokio_rustls::rustls::crypto::ring::default_provider(),
            ))
            .with_safe_default_protocol_versions()
            .map_err(std::io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            exchange(stream, url).await
        }
        Some(_) | None => Err(FetchError::Url),
    }
}

async fn exchange<S>(stream: S, url: &Uri) -> Result<Bytes, FetchError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let request = Request::get(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())?;
    let answer = async {
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        Ok(body.map_err(FetchError::Body)?.to_bytes())
    };
    tokio::pin!(answer);
    tokio::select! {
        answered = &mut answer => answered,
        // The connection ends by itself where its answer was the last.
        ended = connection => {
            ended?;
            answer.await
        }
    }
}
