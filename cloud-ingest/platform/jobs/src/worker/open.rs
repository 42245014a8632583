//! An open transaction, of one organisation or of the house.

use std::ops::Deref;

use platform::{Db, DbError, Scope, Tenant};

use crate::{Tx, house::House};

/// Dropping rolls back.
pub(super) enum Open {
    Tenant(Tenant),
    House(House),
}

impl Open {
    pub(super) async fn begin(db: &Db, scope: Option<&Scope>) -> Result<Self, DbError> {
        match scope {
            Some(scope) => Ok(Self::Tenant(db.tenant(scope).await?)),
            None => Ok(Self::House(House::begin(db).await?)),
        }
    }

    pub(super) async fn commit(self) -> Result<(), tokio_postgres::Error> {
        match self {
            Self::Tenant(tenant) => tenant.commit().await,
            Self::House(house) => house.commit().await,
        }
    }

    /// Whoever cannot be told has lost the connection, and rolls back by that.
    pub(super) async fn rollback(self) {
        let _ = match self {
            Self::Tenant(tenant) => tenant.rollback().await,
            Self::House(house) => house.rollback().await,
        };
    }
}

impl Deref for Open {
    type Target = Tx;

    fn deref(&self) -> &Tx {
        match self {
            Self::Tenant(tenant) => tenant,
            Self::House(house) => house,
        }
    }
}
