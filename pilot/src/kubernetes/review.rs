//! Whose a token is, as the API server says: a TokenReview for our audience. The account is the reviewed user's, and
//! nothing that the token says of itself.
//!
//! Proxies that start show one token several times, so a good answer is kept for a moment. A bad one is not: the next
//! may be better.

use super::call::{self, short};
use aws_lc_rs::digest;
use kube::Client;
use mesh_ca::{
    Failure,
    authn::token::{ServiceAccount, TokenVerifier, VerifyError, account_of_user, plausible},
    error::TokenProblem,
};
use mesh_runtime::clock;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};
use tokio::{sync::Semaphore, time::Instant};

const REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";

/// Questions asked at once. More callers wait.
const AT_ONCE: usize = 16;
/// How long a caller waits for its turn.
const TURN: Duration = Duration::from_secs(5);
/// How long a good answer counts: as long may a token be used whose pod is gone.
const KEPT: Duration = Duration::from_secs(10);
/// Good answers that are kept.
const MAX_KEPT: usize = 4096;

/// Asks an API server.
pub(crate) struct TokenReviews {
    client: Client,
    audience: String,
    asking: Semaphore,
    /// One for each token that is being asked about, while somebody waits for it.
    tokens: Mutex<HashMap<Key, Weak<tokio::sync::Mutex<()>>>>,
    known: Mutex<Known>,
}

impl TokenReviews {
    /// For tokens meant for this audience.
    pub(crate) fn new(client: Client, audience: &str) -> Self {
        TokenReviews {
            client,
            audience: audience.to_owned(),
            asking: Semaphore::new(AT_ONCE),
            tokens: Mutex::default(),
            known: Mutex::default(),
        }
    }

    async fn whose(&self, token: &str, now: SystemTime) -> Result<ServiceAccount, VerifyError> {
        // Anybody can send anything: what the API server would refuse anyhow it is not asked about.
        plausible(token, &self.audience, now)?;
        let key = key(token);
        if let Some(account) = self.known.lock().get(&key, clock::now()) {
            return Ok(account);
        }
        let token_turn = self.turn_of(key);
        // Who shows the same token waits for the first one's answer.
        let turn = async { (token_turn.lock().await, self.asking.acquire().await) };
        let Ok((_one, Ok(_turn))) = tokio::time::timeout(TURN, turn).await else {
            return Err(Failure::Review(format!("no turn to ask the API server within {TURN:?}")).into());
        };
        // Somebody may have asked meanwhile.
        if let Some(account) = self.known.lock().get(&key, clock::now()) {
            return Ok(account);
        }
        let asked = clock::now();
        let account = self.ask(token).await?;
        self.known.lock().put(key, account.clone(), asked);
        Ok(account)
    }

    fn turn_of(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut tokens = self.tokens.lock();
        if let Some(turn) = tokens.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        // What nobody waits for any more goes when there is twice as much as is asked at once.
        if tokens.len() > 2 * AT_ONCE {
            tokens.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::default();
        tokens.insert(key, Arc::downgrade(&turn));
        turn
    }

    async fn ask(&self, token: &str) -> Result<ServiceAccount, VerifyError> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [self.audience]},
        });
        let answer: Review =
            call::create(&self.client, REVIEWS, &review).await.map_err(|error| Failure::Review(error.to_string()))?;
        Ok(answer.status.account(&self.audience)?)
    }
}

impl TokenVerifier for TokenReviews {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: SystemTime,
    ) -> Pin<Box<dyn Future<Output = Result<ServiceAccount, VerifyError>> + Send + 'a>> {
        Box::pin(self.whose(token, now))
    }
}

#[derive(Deserialize)]
struct Review {
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    #[serde(default)]
    user: User,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default)]
    error: String,
}

#[derive(Deserialize, Default)]
struct User {
    #[serde(default)]
    username: String,
}

impl Status {
    fn account(self, audience: &str) -> Result<ServiceAccount, TokenProblem> {
        if !self.authenticated {
            let reason = if self.error.is_empty() { "it gives no reason" } else { &self.error };
            return Err(TokenProblem::Unknown(short(reason)));
        }
        // An API server that does not look at audiences names none.
        if !self.audiences.iter().any(|meant| meant == audience) {
            return Err(TokenProblem::Audience { wanted: audience.to_owned() });
        }
        account_of_user(&self.user.username)
    }
}

/// Tokens are not kept, only what they hash to.
type Key = [u8; 32];

fn key(token: &str) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, token.as_bytes()).as_ref());
    key
}

/// Good answers. All count equally long, so the oldest is the first to go.
#[derive(Default)]
struct Known {
    accounts: HashMap<Key, (ServiceAccount, Instant)>,
    oldest_first: VecDeque<(Key, Instant)>,
}

impl Known {
    fn get(&self, key: &Key, now: Instant) -> Option<ServiceAccount> {
        let (account, asked) = self.accounts.get(key)?;
        (now.saturating_duration_since(*asked) < KEPT).then(|| account.clone())
    }

    fn put(&mut self, key: Key, account: ServiceAccount, asked: Instant) {
        while let Some((first, at)) = self.oldest_first.front().copied()
            && (self.oldest_first.len() >= MAX_KEPT || asked.saturating_duration_since(at) >= KEPT)
        {
            self.oldest_first.pop_front();
            // Unless it was asked about again since.
            if self.accounts.get(&first).is_some_and(|(_, asked)| *asked == at) {
                self.accounts.remove(&first);
            }
        }
        self.accounts.insert(key, (account, asked));
        self.oldest_first.push_back((key, asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::fake::FakeServer;
    use mesh_ca::token::{SigningKey, mint};
    use serde_json::Value;

    const HOUR: Duration = Duration::from_secs(3600);

    struct World {
        server: FakeServer,
        reviews: TokenReviews,
        key: SigningKey,
    }

    impl World {
        fn new() -> World {
            let server = FakeServer::default();
            let reviews = TokenReviews::new(server.client(), "istio-ca");
            World { server, reviews, key: SigningKey::generate().unwrap() }
        }

        fn token(&self, account: &str) -> String {
            mint(&self.key, "shop", account, "istio-ca", HOUR, clock::system_now()).unwrap()
        }

        fn says(&self, status: Value) {
            self.server.say(Some((201, &json!({"status": status}).to_string())));
        }

        async fn verify(&self, token: &str) -> Result<String, String> {
            let account = self.reviews.verify(token, clock::system_now()).await;
            account.map(|a| format!("{}/{}", a.namespace, a.name)).map_err(|e| match e {
                VerifyError::Refused(problem) => format!("refused: {problem}"),
                VerifyError::Failed(failure) => format!("failed: {failure}"),
            })
        }
    }

    fn user(name: &str) -> Value {
        json!({"authenticated": true, "user": {"username": name}, "audiences": ["istio-ca"]})
    }

    #[tokio::test]
    async fn the_account_is_the_reviewed_users_whatever_the_token_says() {
        let world = World::new();
        world.says(user("system:serviceaccount:bank:teller"));
        assert_eq!(world.verify(&world.token("cart")).await, Ok("bank/teller".to_owned()));
        for other in ["alice", "system:serviceaccount:bank", "system:serviceaccount:a/b:c", "system:node:k1"] {
            world.says(user(other));
            let refused = world.verify(&world.token(&format!("cart{}", other.len()))).await.unwrap_err();
            assert!(refused.starts_with("refused: its subject is not"), "{other}: {refused}");
        }
    }

    #[tokio::test]
    async fn what_the_api_server_does_not_take_is_refused() {
        let world = World::new();
        world.says(json!({"authenticated": false, "error": "the pod is gone"}));
        let refused = world.verify(&world.token("cart")).await;
        let words = "refused: the API server does not take it for a service account's: the pod is gone";
        assert_eq!(refused, Err(words.to_owned()));
        world.says(json!({"authenticated": true, "user": {"username": "system:serviceaccount:a:b"}}));
        let refused = world.verify(&world.token("cart")).await;
        assert_eq!(refused, Err("refused: it is not meant for audience \"istio-ca\"".to_owned()));
        world.says(json!({}));
        assert!(world.verify(&world.token("cart")).await.unwrap_err().starts_with("refused: "));
    }

    #[tokio::test]
    async fn what_can_be_told_without_asking_is_not_asked() {
        let world = World::new();
        let now = clock::system_now();
        let other = mint(&world.key, "shop", "cart", "vault", HOUR, now).unwrap();
        assert_eq!(world.verify(&other).await, Err("refused: it is not meant for audience \"istio-ca\"".to_owned()));
        let old = mint(&world.key, "shop", "cart", "istio-ca", HOUR, now - 2 * HOUR).unwrap();
        assert!(world.verify(&old).await.unwrap_err().starts_with("refused: it has expired"));
        assert!(world.verify("abc").await.unwrap_err().starts_with("refused: "));
        assert_eq!(world.server.calls(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn an_api_server_in_trouble_is_no_refusal() {
        let world = World::new();
        for (code, said) in [(500, ""), (403, "{}"), (201, "{}"), (404, "")] {
            world.server.say(Some((code, said)));
            let failed = world.verify(&world.token("cart")).await.unwrap_err();
            assert!(failed.starts_with("failed: tokens cannot be verified now"), "{failed}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_good_answer_is_kept_for_a_moment_and_a_bad_one_is_not() {
        let world = World::new();
        let token = world.token("cart");
        world.says(json!({"authenticated": false}));
        assert!(world.verify(&token).await.is_err());
        world.says(user("system:serviceaccount:shop:cart"));
        assert!(world.verify(&token).await.is_ok());
        assert_eq!(world.server.calls().len(), 2);
        world.says(json!({"authenticated": false}));
        assert!(world.verify(&token).await.is_ok());
        assert_eq!(world.server.calls().len(), 0);
        tokio::time::advance(KEPT).await;
        assert!(world.verify(&token).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_show_one_token_are_one_question() {
        let world = World::new();
        world.says(user("system:serviceaccount:shop:cart"));
        let token = world.token("cart");
        let all = futures_util::future::join_all((0..3 * AT_ONCE).map(|_| world.verify(&token))).await;
        assert!(all.iter().all(|one| *one == Ok("shop/cart".to_owned())), "{all:?}");
        assert_eq!(world.server.calls().len(), 1);
        let others: Vec<String> = (0..100).map(|i| world.token(&format!("cart-{i}"))).collect();
        for token in &others {
            world.verify(token).await.unwrap();
        }
        assert!(world.reviews.tokens.lock().len() <= 2 * AT_ONCE + 1);
    }

    #[test]
    fn no_more_answers_are_kept_than_may_be() {
        let (mut known, start) = (Known::default(), clock::now());
        let account = ServiceAccount { namespace: "a".to_owned(), name: "b".to_owned() };
        for i in 0..3 * MAX_KEPT {
            let mut key = Key::default();
            key[..8].copy_from_slice(&i.to_le_bytes());
            known.put(key, account.clone(), start + Duration::from_micros(i as u64));
        }
        assert_eq!((known.accounts.len(), known.oldest_first.len()), (MAX_KEPT, MAX_KEPT));
        known.put([9; 32], account, start + HOUR);
        assert_eq!((known.accounts.len(), known.oldest_first.len()), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn callers_wait_for_their_turn_and_not_for_ever() {
        let world = World::new();
        world.server.hang();
        let tokens: Vec<String> = (0..=AT_ONCE).map(|i| world.token(&format!("cart-{i}"))).collect();
        let all = futures_util::future::join_all(tokens.iter().map(|token| world.verify(token))).await;
        assert!(all.iter().all(|one| one.as_ref().unwrap_err().starts_with("failed: ")));
        assert_eq!(world.server.calls().len(), AT_ONCE);
    }
}
