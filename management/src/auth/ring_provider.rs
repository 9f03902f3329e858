//! Verifies signatures of JWTs with ring, which TLS here is built on already.
//!
//! `jsonwebtoken` parses and compares; which arithmetic it does that with is ours to say. Nothing is
//! signed here, and what is not asymmetric has no verifier at all.

use jsonwebtoken::crypto::{CryptoProvider, JwkUtils, JwtSigner, JwtVerifier};
use jsonwebtoken::errors::{Error, ErrorKind, new_error};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self as by, RsaParameters, UnparsedPublicKey, VerificationAlgorithm};
use signature::Verifier;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: no_signer,
    verifier_factory: verifier,
    jwk_utils: JwkUtils::new_unimplemented(),
};

/// Makes this what JWTs are verified with; the first of a process stays.
pub(super) fn install() {
    // Whoever was first installed the same.
    let _ = PROVIDER.install_default();
}

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(new_error(ErrorKind::InvalidAlgorithm))
}

/// How a signature is verified.
enum Arithmetic {
    Rsa(&'static RsaParameters),
    Other(&'static dyn VerificationAlgorithm),
}

struct RingVerifier {
    algorithm: Algorithm,
    arithmetic: Arithmetic,
    key: DecodingKey,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let (family, arithmetic) = match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            return Err(new_error(ErrorKind::InvalidAlgorithm));
        }
        Algorithm::ES256 => (AlgorithmFamily::Ec, Arithmetic::Other(&by::ECDSA_P256_SHA256_FIXED)),
        Algorithm::ES384 => (AlgorithmFamily::Ec, Arithmetic::Other(&by::ECDSA_P384_SHA384_FIXED)),
        Algorithm::EdDSA => (AlgorithmFamily::Ed, Arithmetic::Other(&by::ED25519)),
        Algorithm::RS256 => rsa(&by::RSA_PKCS1_2048_8192_SHA256),
        Algorithm::RS384 => rsa(&by::RSA_PKCS1_2048_8192_SHA384),
        Algorithm::RS512 => rsa(&by::RSA_PKCS1_2048_8192_SHA512),
        Algorithm::PS256 => rsa(&by::RSA_PSS_2048_8192_SHA256),
        Algorithm::PS384 => rsa(&by::RSA_PSS_2048_8192_SHA384),
        Algorithm::PS512 => rsa(&by::RSA_PSS_2048_8192_SHA512),
    };
    if key.family() != family {
        return Err(new_error(ErrorKind::InvalidKeyFormat));
    }
    Ok(Box::new(RingVerifier { algorithm: *algorithm, arithmetic, key: key.clone() }))
}

fn rsa(parameters: &'static RsaParameters) -> (AlgorithmFamily, Arithmetic) {
    (AlgorithmFamily::Rsa, Arithmetic::Rsa(parameters))
}

// === impl RingVerifier ===

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], given: &Vec<u8>) -> Result<(), signature::Error> {
        let verified = match (&self.arithmetic, self.key.kind()) {
            (Arithmetic::Rsa(parameters), DecodingKeyKind::RsaModulusExponent { n, e }) => {
                by::RsaPublicKeyComponents { n, e }.verify(parameters, message, given)
            }
            (Arithmetic::Other(algorithm), DecodingKeyKind::SecretOrDer(key)) => {
                UnparsedPublicKey::new(*algorithm, key).verify(message, given)
            }
            (Arithmetic::Rsa(_), DecodingKeyKind::SecretOrDer(_))
            | (Arithmetic::Other(_), DecodingKeyKind::RsaModulusExponent { .. }) => {
                return Err(signature::Error::new());
            }
        };
        verified.map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
