//! JWTs of an issuer whose keys a real server on this machine publishes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tollgate_ledger_store::Clock;
use tollgate_management::{Authorizer, Identity, Jwt, JwtSettings, KeyPlace, Role, Unidentified};

use crate::harness::{NOON, TestClock};

/// An issuer: what it publishes, and how often it was asked.
struct Issuer {
    url: String,
    keys: Mutex<Option<Value>>,
    asked: AtomicUsize,
}

/// A key that was made for a test.
enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

// === impl Signer ===

impl Signer {
    fn ec() -> Signer {
        let (how, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(how, &random).unwrap();
        Signer::Ec(EcdsaKeyPair::from_pkcs8(how, key.as_ref(), &random).unwrap())
    }

    fn ed() -> Signer {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        match self {
            Signer::Ec(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
                json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": id, "use": "sig", "alg": "ES256"})
            }
            Signer::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.public_key()), "kid": id})
            }
        }
    }

    fn sign(&self, id: &str, claims: &Value) -> String {
        let algorithm = match self {
            Signer::Ec(_) => "ES256",
            Signer::Ed(_) => "EdDSA",
        };
        let head = json!({"alg": algorithm, "typ": "JWT", "kid": id});
        let text = format!("{}.{}", encode(head.to_string()), encode(claims.to_string()));
        let signature = match self {
            Signer::Ec(key) => encode(key.sign(&SystemRandom::new(), text.as_bytes()).unwrap()),
            Signer::Ed(key) => encode(key.sign(text.as_bytes())),
        };
        format!("{text}.{signature}")
    }
}

// === impl Issuer ===

impl Issuer {
    async fn start(keys: Value) -> Arc<Issuer> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let keys = Mutex::new(Some(keys));
        let issuer = Arc::new(Issuer { url, keys, asked: AtomicUsize::new(0) });
        let serving = Arc::clone(&issuer);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0u8; 4096];
                let _ = stream.read(&mut head).await;
                serving.asked.fetch_add(1, Ordering::SeqCst);
                let body = serving.keys.lock().unwrap().clone();
                let (status, body) = body
                    .map_or((500, String::new()), |keys| (200, json!({"keys": keys}).to_string()));
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        issuer
    }

    fn publish(&self, keys: Option<Value>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn trusted(&self, clock: &Arc<TestClock>) -> Jwt {
        let place = KeyPlace::Url(self.url.parse().unwrap());
        let settings = JwtSettings {
            role_claim: "realm.roles".to_owned(),
            ..JwtSettings::new("https://issuer.test", "tollgate", place)
        };
        Jwt::new(settings, Arc::clone(clock) as Arc<dyn Clock>)
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.test", "aud": ["other", "tollgate"], "sub": "ann",
        "exp": NOON / 1000 + 600, "realm": {"roles": ["offline", "provider"]},
        "organization": "acme",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut all = claims();
    all[name] = value;
    all
}

async fn refusal(jwt: &Jwt, token: &str) -> String {
    match jwt.identify(token).await {
        Ok(identity) => panic!("{identity:?} got in"),
        Err(Unidentified::Unknown) => "unknown".to_owned(),
        Err(refused) => refused.to_string(),
    }
}

#[tokio::test]
async fn a_jwt_of_the_issuer_says_who_asks() {
    let (ec, ed) = (Signer::ec(), Signer::ed());
    let issuer = Issuer::start(json!([ec.jwk("a"), ed.jwk("b"), {"kty": "new"}])).await;
    let jwt = issuer.trusted(&TestClock::at(NOON));
    let ann = Identity {
        // Not `ann`, which may be the name of a token.
        name: "jwt:https://issuer.test/ann".to_owned(),
        permissions: Vec::new(),
        role: Role::Provider,
        organization: Some("acme".to_owned()),
    };
    assert_eq!(jwt.identify(&ec.sign("a", &claims())).await.unwrap(), ann);
    assert_eq!(jwt.identify(&ed.sign("b", &claims())).await.unwrap(), ann);
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn a_jwt_that_is_not_for_us_or_not_now_is_refused() {
    let signer = Signer::ec();
    let issuer = Issuer::start(json!([signer.jwk("a")])).await;
    let jwt = issuer.trusted(&TestClock::at(NOON));
    let now = NOON / 1000;
    let rows = [
        (with("iss", json!("https://other.test")), "InvalidIssuer"),
        (with("aud", json!("other")), "InvalidAudience"),
        (with("aud", Value::Null), "aud"),
        (with("exp", json!(now - 60)), "expired"),
        (with("exp", Value::Null), "exp is not a time"),
        (with("exp", json!("tomorrow")), "exp is not a time"),
        (with("nbf", json!(now + 61)), "does not hold yet"),
        (with("nbf", json!("soon")), "nbf is not a time"),
        (with("realm", json!({"roles": ["king"]})), "realm.roles has no role"),
        (with("organization", Value::Null), "provider needs an organization"),
        (with("sub", json!("")), "sub has no name"),
        (with("sub", json!("a".repeat(257))), "more than 256 bytes"),
        (with("sub", json!("ann\nadmin")), "control character"),
    ];
    for (claims, want) in rows {
        let why = refusal(&jwt, &signer.sign("a", &claims)).await;
        assert!(why.contains(want), "{claims}: {why}");
    }
    // Bound to what cannot be read is not bound to nothing.
    let mut viewer = with("realm", json!({"roles": ["viewer"]}));
    for organization in [json!(["acme"]), json!({"acme": {}}), json!(7)] {
        viewer["organization"] = organization;
        let why = refusal(&jwt, &signer.sign("a", &viewer)).await;
        assert!(why.contains("organization is no name"), "{viewer}: {why}");
    }
    // Within the leeway of a minute.
    assert!(jwt.identify(&signer.sign("a", &with("exp", json!(now - 59)))).await.is_ok());
    assert!(jwt.identify(&signer.sign("a", &with("nbf", json!(now + 60)))).await.is_ok());
}

#[tokio::test]
async fn a_jwt_that_the_issuer_did_not_sign_is_refused() {
    let (signer, stranger) = (Signer::ec(), Signer::ec());
    let issuer = Issuer::start(json!([signer.jwk("a")])).await;
    let jwt = issuer.trusted(&TestClock::at(NOON));
    let good = signer.sign("a", &claims());
    assert!(jwt.identify(&good).await.is_ok());
    let why = refusal(&jwt, &stranger.sign("a", &claims())).await;
    assert!(why.contains("InvalidSignature"), "{why}");
    let parts: Vec<&str> = good.split('.').collect();
    let admin = with("realm", json!({"roles": ["admin"]}));
    let changed = format!("{}.{}.{}", parts[0], encode(admin.to_string()), parts[2]);
    assert!(refusal(&jwt, &changed).await.contains("InvalidSignature"));

    let head = |algorithm: &str| encode(json!({"alg": algorithm, "kid": "a"}).to_string());
    let body = encode(claims().to_string());
    for algorithm in ["none", "None", "NONE"] {
        refusal(&jwt, &format!("{}.{body}.", head(algorithm))).await;
    }
    // The public key, which everybody has, as the secret of an HMAC.
    let Signer::Ec(key) = &signer else { panic!("made as one") };
    let text = format!("{}.{body}", head("HS256"));
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key.public_key().as_ref());
    let forged = format!("{text}.{}", encode(ring::hmac::sign(&secret, text.as_bytes())));
    assert!(refusal(&jwt, &forged).await.contains("not asymmetric"));
    // The key of one algorithm is none of another.
    let other = format!("{}.{body}.{}", head("EdDSA"), parts[2]);
    assert!(refusal(&jwt, &other).await.contains("no key of the issuer"));
    assert_eq!(refusal(&jwt, "neither.a.jwt").await, "unknown");
}

#[tokio::test]
async fn keys_rotate_and_stay_while_the_issuer_is_away() {
    let (old, new) = (Signer::ec(), Signer::ec());
    let issuer = Issuer::start(json!([old.jwk("old")])).await;
    let clock = TestClock::at(NOON);
    let jwt = issuer.trusted(&clock);
    assert!(jwt.identify(&old.sign("old", &claims())).await.is_ok());
    issuer.publish(Some(json!([old.jwk("old"), new.jwk("new")])));
    // Names that nobody knows are not asked for at once.
    assert!(refusal(&jwt, &new.sign("new", &claims())).await.contains("no key"));
    assert_eq!(issuer.asked(), 1);
    clock.set(NOON + 10_000);
    assert!(jwt.identify(&new.sign("new", &claims())).await.is_ok());
    assert_eq!(issuer.asked(), 2);

    issuer.publish(None);
    clock.set(NOON + 10_000 + 300_000);
    assert!(jwt.identify(&old.sign("old", &claims())).await.is_ok(), "keys are gone");
    assert_eq!(issuer.asked(), 3);
    // A key that was taken back works no longer once keys are fetched again.
    issuer.publish(Some(json!([new.jwk("new")])));
    clock.set(NOON + 10_000 + 310_000);
    assert!(refusal(&jwt, &old.sign("old", &claims())).await.contains("no key"));
}

#[tokio::test]
async fn keys_may_be_in_a_file() {
    let (signer, directory) = (Signer::ed(), tempfile::tempdir().unwrap());
    let path = directory.path().join("keys.json");
    std::fs::write(&path, json!({"keys": [signer.jwk("a")]}).to_string()).unwrap();
    let settings = JwtSettings {
        role_claim: "realm.roles".to_owned(),
        ..JwtSettings::new("https://issuer.test", "tollgate", KeyPlace::File(path))
    };
    let jwt = Jwt::new(settings, TestClock::at(NOON) as Arc<dyn Clock>);
    assert!(jwt.identify(&signer.sign("a", &claims())).await.is_ok());
}
