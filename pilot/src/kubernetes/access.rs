//! Which accounts may list the Secrets of their namespace, as the API server says: whoever may can read the keys
//! anyhow, so its proxies get them from pilot.
//!
//! One question a minute for each account that has gateways connected, or sidecars that objects name Secrets for, however
//! many.

use super::call;
use kube::Client;
use mesh_config::name::NamespacedName;
use mesh_runtime::clock;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, watch},
    time::Instant,
};

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

/// Between two questions about one account.
const EVERY: Duration = Duration::from_secs(60);
/// After one without an answer.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a yes counts after which the API server has given no other answer.
const STANDS: Duration = Duration::from_secs(600);
/// Questions asked at once.
const AT_ONCE: usize = 8;
/// Accounts that are asked about; more are refused.
const MAX_ACCOUNTS: usize = 4096;

/// What is known of an account: nothing yet, or whether it may.
pub(crate) type Answer = Option<bool>;

/// Asks an API server.
pub(crate) struct SecretAccess {
    client: Client,
    asking: Semaphore,
    accounts: Mutex<HashMap<NamespacedName, watch::Sender<Answer>>>,
}

impl SecretAccess {
    pub(crate) fn new(client: Client) -> Arc<Self> {
        Arc::new(SecretAccess { client, asking: Semaphore::new(AT_ONCE), accounts: Mutex::default() })
    }

    /// Whether an account may, from the first answer on for as long as somebody wants to know.
    pub(crate) fn follow(self: &Arc<Self>, account: NamespacedName) -> watch::Receiver<Answer> {
        let mut accounts = self.accounts.lock();
        if let Some(known) = accounts.get(&account) {
            return known.subscribe();
        }
        if accounts.len() >= MAX_ACCOUNTS {
            tracing::warn!(%account, "too many accounts have proxies that want keys: this one gets none");
            return watch::channel(Some(false)).1;
        }
        let (answers, answer) = watch::channel(None);
        accounts.insert(account.clone(), answers.clone());
        // Ends when nobody has wanted to know for a while.
        tokio::spawn(self.clone().ask_again_and_again(account, answers));
        answer
    }

    async fn ask_again_and_again(self: Arc<Self>, account: NamespacedName, answers: watch::Sender<Answer>) {
        let mut said_yes: Option<Instant> = None;
        loop {
            let (answer, wait) = match self.ask(&account).await {
                Ok(may) => {
                    said_yes = may.then(clock::now);
                    (may, EVERY)
                }
                Err(error) => {
                    let stands = said_yes.is_some_and(|at| clock::since(at) < STANDS);
                    tracing::warn!(%error, %account, stands, "whether the account may list Secrets cannot be asked");
                    (stands, AGAIN)
                }
            };
            answers.send_if_modified(|known| known.replace(answer) != Some(answer));
            tokio::time::sleep(wait).await;
            let mut accounts = self.accounts.lock();
            if answers.is_closed() {
                accounts.remove(&account);
                return;
            }
        }
    }

    async fn ask(&self, account: &NamespacedName) -> Result<bool, call::CallError> {
        // Never closed.
        let _turn = self.asking.acquire().await;
        let (namespace, name) = (account.namespace.as_str(), &*account.name);
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{namespace}:{name}"),
                "groups": [
                    "system:serviceaccounts",
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated",
                ],
                "resourceAttributes": {"namespace": namespace, "verb": "list", "version": "v1", "resource": "secrets"},
            },
        });
        let answer: Review = call::create(&self.client, REVIEWS, &review).await?;
        Ok(answer.status.allowed && !answer.status.denied)
    }
}

#[derive(Deserialize)]
struct Review {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    allowed: bool,
    #[serde(default)]
    denied: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::FakeServer;

    const YES: Option<(u16, &str)> = Some((201, "{\"status\": {\"allowed\": true}}"));
    const NO: Option<(u16, &str)> = Some((201, "{\"status\": {\"allowed\": false}}"));
    const AWAY: Option<(u16, &str)> = Some((503, ""));

    fn edge() -> NamespacedName {
        NamespacedName::new("web", "edge")
    }

    async fn first(server: &FakeServer) -> (Arc<SecretAccess>, watch::Receiver<Answer>, Answer) {
        let access = SecretAccess::new(server.client());
        let mut follow = access.follow(edge());
        let answer = *follow.wait_for(Option::is_some).await.unwrap();
        (access, follow, answer)
    }

    #[tokio::test(start_paused = true)]
    async fn the_cluster_says_whether_the_account_may_list_secrets_of_its_own_namespace() {
        let server = FakeServer::default();
        server.answer(|_, path, review| {
            let spec = &review["spec"];
            let asked = json!({"namespace": "web", "verb": "list", "version": "v1", "resource": "secrets"});
            let allowed = path == REVIEWS
                && spec["user"] == "system:serviceaccount:web:edge"
                && spec["resourceAttributes"] == asked;
            Some((201, json!({"status": {"allowed": allowed}}).to_string()))
        });
        assert_eq!(first(&server).await.2, Some(true));
        server.say(Some((201, "{\"status\": {\"allowed\": true, \"denied\": true}}")));
        assert_eq!(first(&server).await.2, Some(false));
        for nonsense in [NO, AWAY, Some((201, "{}")), Some((403, "{}"))] {
            server.say(nonsense);
            assert_eq!(first(&server).await.2, Some(false), "{nonsense:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_is_asked_about_once_a_minute_however_many_gateways_it_has() {
        let server = FakeServer::default();
        server.say(YES);
        let (access, follow, _) = first(&server).await;
        let others: Vec<_> = (0..50).map(|_| access.follow(edge())).collect();
        assert!(others.iter().all(|other| *other.borrow() == Some(true)));
        tokio::time::sleep(EVERY * 3 / 2).await;
        assert_eq!(server.calls().len(), 2);
        // Nobody wants to know any more.
        drop((follow, others));
        tokio::time::sleep(EVERY * 3).await;
        assert_eq!((server.calls().len(), access.accounts.lock().len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_back_counts_and_a_yes_outlives_an_api_server_for_a_while() {
        let server = FakeServer::default();
        server.say(YES);
        let (_access, mut follow, _) = first(&server).await;
        server.say(AWAY);
        let since = clock::now();
        follow.wait_for(|answer| *answer == Some(false)).await.unwrap();
        let stood = clock::since(since);
        assert!(stood >= STANDS && stood < STANDS + 2 * AGAIN, "{stood:?}");
        server.say(YES);
        follow.wait_for(|answer| *answer == Some(true)).await.unwrap();
        server.say(NO);
        let since = clock::now();
        follow.wait_for(|answer| *answer == Some(false)).await.unwrap();
        assert!(clock::since(since) <= EVERY);
    }
}
