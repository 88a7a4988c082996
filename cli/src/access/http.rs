//! The HTTP client for a person's machine: it trusts what the machine trusts, and goes by its proxy. (The
//! functions' own, in bootstrap, trusts Amazon's roots alone and knows no proxy: there is neither in Lambda.)

use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_runtime_api::client::http::{
    HttpConnectorSettings, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::CONNECT_TIMEOUT;
use crate::output::line;

/// Names further roots, as the AWS CLI takes them.
pub(super) const BUNDLE: &str = "AWS_CA_BUNDLE";

/// One connector, and so one pool, for all clients.
pub(super) fn client(trust: TrustStore, proxy: ProxyConfig) -> SharedHttpClient {
    // The clients' own timeouts do not reach a connector that they share.
    let settings = HttpConnectorSettings::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .build();
    let mut builder = Connector::builder()
        .connector_settings(settings)
        .sleep_impl(TokioSleep::new())
        .proxy_config(proxy)
        .tls_provider(Provider::Rustls(CryptoMode::Ring));
    if let Ok(context) = TlsContext::builder().with_trust_store(trust).build() {
        builder = builder.tls_context(context);
    }
    let shared = SharedHttpConnector::new(builder.build());
    http_client_fn(move |_, _| shared.clone())
}

/// Those that AWS's own endpoints chain to: a container may have no roots at all.
const AMAZON_ROOTS: &[u8] = include_bytes!("../../../shared/bootstrap/roots/amazon.pem");

/// The machine's own roots, Amazon's, and those of a file; else what is wrong with that file.
pub(super) fn trust(bundle: Option<&str>) -> Result<TrustStore, String> {
    let own = TrustStore::default().with_pem_certificate(AMAZON_ROOTS);
    match bundle {
        Some(path) => Ok(own.with_pem_certificate(read(path)?)),
        None => Ok(own),
    }
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    let wrong = |what: &str| format!("{BUNDLE} names {}, which {what}", line(path, 300));
    let pem = std::fs::read(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    match certificates(&pem) {
        Ok(0) => Err(wrong("holds no certificate in PEM")),
        Ok(_) => Ok(pem),
        Err(why) => Err(wrong(&format!(
            "holds a certificate that cannot be read: {}",
            line(&why, 200)
        ))),
    }
}

/// How many certificates there are. The connector reads them in the same way, and panics at a wrong one.
fn certificates(pem: &[u8]) -> Result<usize, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(content: &[u8]) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("roots.pem");
        std::fs::write(&path, content).unwrap();
        trust(path.to_str()).unwrap_err()
    }

    #[test]
    fn a_bundle_that_cannot_be_read_is_named() {
        let why = trust(Some("/nowhere/roots.pem")).unwrap_err();
        let expected = "AWS_CA_BUNDLE names /nowhere/roots.pem, which cannot be read: ";
        assert!(why.starts_with(expected), "{why}");
    }

    #[test]
    fn a_bundle_without_a_certificate_is_refused() {
        for content in [
            &b""[..],
            b"these are no roots\n",
            b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        ] {
            let why = refused(content);
            assert!(why.ends_with("which holds no certificate in PEM"), "{why}");
        }
    }

    #[test]
    fn a_bundle_at_which_the_connector_would_panic_is_refused() {
        for content in [
            // Cut off; not in base64; no certificate.
            &b"-----BEGIN CERTIFICATE-----\nAAAA\n"[..],
            b"-----BEGIN CERTIFICATE-----\n????\n-----END CERTIFICATE-----\n",
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let why = refused(content);
            assert!(why.contains("holds a certificate that cannot be read: "), "{why}");
        }
    }

    #[test]
    fn a_bundle_of_certificates_is_trusted_beside_the_machines_own() {
        let pem = include_bytes!("../../../shared/bootstrap/roots/amazon.pem");
        assert!(certificates(pem).unwrap() > 1);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("roots.pem");
        std::fs::write(&path, pem).unwrap();
        assert!(trust(path.to_str()).is_ok());
        assert!(trust(None).is_ok());
    }
}
