//! A transaction of one organisation.

use std::{ops::Deref, pin::pin, task};

use deadpool_postgres::ClientWrapper;

use crate::{db::Client, roles::APP, scope::Scope};

/// A transaction that sees the rows of one organisation and no others, as the role [`APP`].
///
/// Role and organisation are set for the transaction alone, so the connection goes back to the pool without them
/// however it ends; dropping rolls back. It is a client by `Deref`: `&tenant` goes wherever a `&Client` is wanted.
#[derive(Debug)]
pub struct Tenant {
    client: Client,
    scope: Scope,
    open: bool,
}

impl Tenant {
    pub(crate) async fn begin(
        client: Client,
        scope: &Scope,
    ) -> Result<Self, tokio_postgres::Error> {
        // Whoever drops this future while it waits drops a transaction that may have begun.
        let tenant = Self {
            client,
            scope: scope.clone(),
            open: true,
        };
        let begin = format!(
            "BEGIN; SET LOCAL ROLE {APP}; SET LOCAL patio.organization = '{}'; SET LOCAL patio.actor = '{}'; \
             SET LOCAL patio.request = '{}'",
            scope.organization,
            literal(&scope.actor.to_string()),
            literal(scope.request.as_str()),
        );
        tenant.client.batch_execute(&begin).await?;
        Ok(tenant)
    }

    /// For whom, by whom, in which request.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Makes it all true.
    pub async fn commit(mut self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute("COMMIT").await?;
        self.open = false;
        Ok(())
    }

    /// Makes nothing of it true.
    pub async fn rollback(mut self) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute("ROLLBACK").await?;
        self.open = false;
        Ok(())
    }
}

impl Deref for Tenant {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.client
    }
}

impl Drop for Tenant {
    fn drop(&mut self) {
        if self.open {
            // The first poll sends it; what is sent after it is executed after it, so nobody has to wait.
            let mut context = task::Context::from_waker(task::Waker::noop());
            let _ = pin!(self.client.batch_execute("ROLLBACK")).poll(&mut context);
        }
    }
}

fn literal(text: &str) -> String {
    text.replace('\'', "''")
}
