//! The cryptography: aws-lc-rs, the post-quantum hybrid first, and of TLS 1.2 only forward-secret AES-GCM.

use rustls::crypto::{
    CryptoProvider,
    aws_lc_rs::{self, cipher_suite as suite, kx_group as kx},
};
use std::sync::{Arc, OnceLock};

/// Makes ours the provider of the process, also for libraries that ask rustls for a default. May be called again.
pub fn install() {
    // Fails when there is one already: ours from an earlier call, or one that a program chose for its other libraries.
    let _ = CryptoProvider::install_default((**get()).clone());
}

/// The provider that all of our configurations use.
pub fn get() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            cipher_suites: vec![
                suite::TLS13_AES_256_GCM_SHA384,
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            ],
            kx_groups: vec![kx::X25519MLKEM768, kx::X25519, kx::SECP256R1, kx::SECP384R1],
            ..aws_lc_rs::default_provider()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{NamedGroup, ProtocolVersion};

    #[test]
    fn the_hybrid_is_first_and_old_suites_are_forward_secret_gcm() {
        let provider = get();
        assert_eq!(provider.kx_groups[0].name(), NamedGroup::X25519MLKEM768);
        for suite in &provider.cipher_suites {
            let name = format!("{:?}", suite.suite());
            if suite.version().version == ProtocolVersion::TLSv1_2 {
                assert!(name.contains("ECDHE") && name.contains("_GCM_"), "{name}");
            }
        }
        install();
        install();
    }
}
