//! One connection at a time to Redis, made when it is needed and again after it broke.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use redis::{Cmd, FromRedisValue, Pipeline, RedisError, ScriptInvocation};
use tokio::sync::Mutex;

use super::{
    endpoint::{Connection, Endpoint},
    failure,
    inspection::{Health, Inspection},
};
use crate::{StoreError, StoreErrorKind};

/// How long after a failed attempt to connect callers are told of it without another one, unless another link has reached
/// the server since.
const CONNECT_PAUSE: Duration = Duration::from_millis(200);

/// Longest wait for what a server tells of itself.
const INSPECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection that its users share.
pub(super) struct Link {
    endpoint: Arc<Endpoint>,
    response_timeout: Duration,
    inspection: Arc<Inspection>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// Tells connections apart, so that a late failure does not end the next one.
    number: u64,
    failed: Option<(Instant, StoreError)>,
}

/// What is sent in one go.
pub(super) enum Request<'a> {
    One(&'a Cmd),
    Many(&'a Pipeline),
    Script(&'a ScriptInvocation<'a>),
}

impl<'a> From<&'a Cmd> for Request<'a> {
    fn from(cmd: &'a Cmd) -> Self {
        Self::One(cmd)
    }
}

impl<'a> From<&'a Pipeline> for Request<'a> {
    fn from(pipeline: &'a Pipeline) -> Self {
        Self::Many(pipeline)
    }
}

impl<'a> From<&'a ScriptInvocation<'a>> for Request<'a> {
    fn from(script: &'a ScriptInvocation<'a>) -> Self {
        Self::Script(script)
    }
}

/// A connection in use by one caller, who sees it through from the first request to the last.
pub(super) struct Session<'a> {
    link: &'a Link,
    connection: Connection,
    number: u64,
}

impl Link {
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        response_timeout: Duration,
        inspection: Arc<Inspection>,
    ) -> Self {
        Self { endpoint, response_timeout, inspection, state: Mutex::default() }
    }

    /// The connection, a new one if there is none. A server whose settings would lose records is as good as away.
    pub(super) async fn session(&self) -> Result<Session<'_>, StoreError> {
        self.first_session().await.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error.detail))
    }

    /// The connection, where it makes a difference whether the server is away or would lose records (`Invalid`).
    pub(super) async fn first_session(&self) -> Result<Session<'_>, StoreError> {
        let mut state = self.state.lock().await;
        if let Some(connection) = &state.connection {
            return Ok(Session { link: self, connection: connection.clone(), number: state.number });
        }
        if let Some((when, error)) = &state.failed
            && when.elapsed() < CONNECT_PAUSE
            && !self.inspection.has_admitted_since(*when)
        {
            return Err(error.clone());
        }
        match self.connect().await {
            Ok(connection) => {
                state.number += 1;
                state.failed = None;
                state.connection = Some(connection.clone());
                Ok(Session { link: self, connection, number: state.number })
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, StoreError> {
        let mut connection = self.endpoint.connect(self.response_timeout).await?;
        match tokio::time::timeout(INSPECTION_TIMEOUT, self.inspection.admit(&mut connection)).await {
            Ok(admitted) => admitted.map(|()| connection),
            Err(_) => Err(failure::of_read(failure::timed_out())),
        }
    }

    /// Asks, once more if the connection was found cut. For reads, and for writes that may be repeated.
    pub(super) async fn ask_again<T: FromRedisValue>(
        &self,
        request: impl Into<Request<'_>>,
    ) -> Result<T, StoreError> {
        let request = request.into();
        let mut session = self.session().await?;
        match session.send(&request).await {
            Err(error) if failure::was_cut(&error) => self.session().await?.ask(request).await,
            answer => answer.map_err(|error| failure::of_request(&error)),
        }
    }

    /// Reads; a reader learns only whether the store answered.
    pub(super) async fn read<T: FromRedisValue>(
        &self,
        request: impl Into<Request<'_>>,
    ) -> Result<T, StoreError> {
        self.ask_again(request).await.map_err(failure::of_read)
    }

    /// Asks once.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        request: impl Into<Request<'_>>,
    ) -> Result<T, StoreError> {
        self.session().await?.ask(request.into()).await
    }

    /// Ends the connection: its server does not answer. Who uses it goes on using it; the next caller makes another.
    pub(super) async fn renew(&self) {
        self.state.lock().await.connection = None;
    }

    /// Ends a connection, so that the next caller makes another.
    async fn end(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state.number == number {
            state.connection = None;
        }
    }
}

impl Session<'_> {
    /// Asks on this connection.
    pub(super) async fn ask<T: FromRedisValue>(
        &mut self,
        request: impl Into<Request<'_>>,
    ) -> Result<T, StoreError> {
        self.send(&request.into()).await.map_err(|error| failure::of_request(&error))
    }

    /// Asks the server how it is.
    pub(super) async fn examine(&mut self, inspection: &Inspection) -> Result<Health, StoreError> {
        inspection.examine(&mut self.connection).await
    }

    async fn send<T: FromRedisValue>(&mut self, request: &Request<'_>) -> Result<T, RedisError> {
        let connection = &mut self.connection;
        let answer = match request {
            Request::One(cmd) => cmd.query_async(connection).await,
            Request::Many(pipeline) => pipeline.query_async(connection).await,
            Request::Script(script) => script.invoke_async(connection).await,
        };
        if let Err(error) = &answer
            && failure::ends_connection(error)
        {
            self.link.end(self.number).await;
        }
        answer
    }
}
