//! What the tests of this package share: a gateway and the vendors in one process, and a client that holds every answer to
//! the contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

pub mod child;
pub mod client;
pub mod contract;
pub mod gateway;
pub mod key_server;
pub mod logs;
pub mod redis_server;
pub mod repository;
pub mod schema;
pub mod secrets;
pub mod setup;
pub mod sse;
pub mod subscriber;
pub mod tokens;
pub mod vendor_stub;
pub mod waiting;

/// Makes tests of scenarios: each runs on every kind of store.
#[macro_export]
macro_rules! on_every_store {
    ($($scenario:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$scenario($crate::setup::Backend::Sqlite).await;
                }
            )+
        }

        mod on_redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $scenario() {
                    super::$scenario($crate::setup::Backend::Redis).await;
                }
            )+
        }
    };
}
