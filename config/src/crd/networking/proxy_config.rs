//! ProxyConfig: settings of proxies, injected with them.

use crate::crd::{
    form::{Fact, Holds, forms},
    target::SELECTOR,
};

forms! {
    /// `spec`.
    pub(in crate::crd) PROXY_CONFIG {
        "selector": Holds::Of(&SELECTOR), "Which workloads; without it, those of the namespace.";
        "concurrency": Holds::Whole(0, i32::MAX as i64), "Worker threads; 0: one a core.",
            Fact::Signed, Fact::Least(0);
        "environmentVariables": Holds::Map(&Holds::Text), "Environment of the proxy.",
            Fact::Each(&[Fact::MostLength(2048)]);
        "image": Holds::Of(&IMAGE), "Image of the proxy.";
    };

    IMAGE {
        "imageType": Holds::Text, "Variant of the image: default, debug or distroless.";
    };
}
