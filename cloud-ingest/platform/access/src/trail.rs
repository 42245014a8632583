//! What is done to users and keys, in the audit trail: no passwords, tokens or addresses, only numbers and names of rights.

use audit::Entry;
use platform::Tenant;
use serde_json::Value;

use crate::{Access, AccessError};

impl Access {
    /// Notes what was done, as the last thing in its transaction.
    pub(crate) async fn note(
        &self,
        tenant: &Tenant,
        action: &str,
        subject: &str,
        before: Option<Value>,
        after: Option<Value>,
    ) -> Result<(), AccessError> {
        let entry = Entry {
            action,
            subject,
            before: before.as_ref(),
            after: after.as_ref(),
        };
        audit::record(tenant, tenant.scope(), &entry, self.clock.now()).await?;
        Ok(())
    }
}
