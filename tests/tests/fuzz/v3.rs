//! The head of requests of the ELB V3 API, which is read before it is known who asks: signature, path and query.
//! Whatever they are, nothing that is not signed is taken for signed, and what is read is what was meant.

use elb_userspace::api::v3::untrusted::{
    UntrustedHead, UntrustedPath, untrusted_query, written_query,
};

use crate::campaign;

const SECRET: &str = "SKTEST";
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];
/// Operations that have a query, and one that has none.
const QUERIED: [&str; 5] =
    ["list_load_balancers", "list_members", "list_listeners", "list_jobs", "create_pool"];
/// What a refusal says of a query, at the most.
const MESSAGE: usize = 8_000;

/// The lines of an input: `Authorization`, path, query, host, date.
#[test]
fn signature() {
    campaign::run("signature", Vec::new(), |input| {
        let text = String::from_utf8_lossy(input);
        let mut lines = text.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        let (authorization, path, query) = (line(), line(), line());
        let headers = [("host", line()), ("x-sdk-date", line())];
        let head = UntrustedHead { method: "POST", path, query, headers: &headers, authorization };
        let Some(understood) = head.understood() else {
            assert!(!head.is_signed(SECRET), "{authorization:?}");
            return;
        };
        let again = UntrustedHead { authorization: &understood, ..head };
        assert_eq!(again.understood().as_ref(), Some(&understood));
        assert_eq!(head.is_signed(SECRET), again.is_signed(SECRET));
        let Some(signed) = head.signed(SECRET) else {
            assert!(!head.is_signed(SECRET), "a header that is to be signed is not there");
            return;
        };
        let own = UntrustedHead { authorization: &signed, ..head };
        assert!(own.is_signed(SECRET), "{signed}");
        assert!(
            !own.is_signed("SKTESU") && !UntrustedHead { method: "PUT", ..own }.is_signed(SECRET)
        );
        // One that others made is ours, byte by byte, or of the same request with its query sorted.
        assert!(
            !head.is_signed(SECRET)
                || understood == signed
                || query.contains('&')
                || query.contains('=')
        );
    });
}

/// The first byte chooses the method.
#[test]
fn path() {
    campaign::run("path", Vec::new(), |input| {
        let Some((first, path)) = input.split_first() else { return };
        let method = METHODS[usize::from(*first) % METHODS.len()];
        let path = String::from_utf8_lossy(path);
        let Some(read) = UntrustedPath::read(method, &path) else { return };
        assert!(read.parameters.iter().all(|(_, value)| !value.is_empty()), "{read:?}");
        let written = read.written();
        assert_eq!(UntrustedPath::read(method, &written), Some(read), "{path:?} {written:?}");
    });
}

/// The first byte chooses the operation.
#[test]
fn query() {
    campaign::run("query", Vec::new(), |input| {
        let Some((first, raw)) = input.split_first() else { return };
        let operation = QUERIED[usize::from(*first) % QUERIED.len()];
        let raw = String::from_utf8_lossy(raw);
        match untrusted_query(operation, &raw) {
            Ok(pairs) => {
                let written = written_query(&pairs);
                assert_eq!(untrusted_query(operation, &written), Ok(pairs), "{raw:?} {written:?}");
            }
            Err(why) => assert!(!why.is_empty() && why.len() <= MESSAGE, "{} bytes", why.len()),
        }
    });
}
