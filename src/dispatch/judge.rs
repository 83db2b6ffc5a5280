//! Judging a message: the rules say what they must know, the examination finds it out, until there is a plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::timeout;

use super::{Incoming, admit, dmarc};
use crate::blocks::reading;
use crate::examination::Subject;
use crate::failure::{Failure, Side};
use crate::limits::LOOK_UPS_PATIENCE;
use crate::message::{Need, Original};
use crate::rules::{self, Judgement, Plan};
use crate::smtp::{Reply, Status};

/// The plan for a message. Afterwards the findings hold all that judging has needed, and for a message that is delivered, all that the
/// endpoint's header fields and a DMARC report tell.
///
/// Each round of questions has bounded time, and so have all of them: the client waits.
pub(super) async fn judge(incoming: &mut Incoming, original: &Arc<Original>) -> Result<Plan, Failure> {
    let judged = timeout(LOOK_UPS_PATIENCE, in_rounds(incoming, original)).await;
    judged.unwrap_or_else(|_| Err(cannot_be_checked(format!("the rules' questions were not answered within {LOOK_UPS_PATIENCE:?}"))))
}

async fn in_rounds(incoming: &mut Incoming, original: &Arc<Original>) -> Result<Plan, Failure> {
    loop {
        let judgement = evaluate(incoming, original).await?;
        let Incoming { findings, endpoint, .. } = &*incoming;
        let fields = endpoint.needs_of_fields().into_iter().chain(dmarc::need(incoming)).filter(|need| !findings.has(need));
        match judgement {
            Judgement::Needs(mut needs) => {
                // Most messages are delivered: what their fields need is asked for beside what the rules need.
                needs.extend(fields);
                find_out(&needs, incoming, original).await?;
            }
            Judgement::Decided(plan) => {
                let needs: BTreeSet<Need> = fields.filter(|_| !plan.steps.is_empty()).collect();
                find_out(&needs, incoming, original).await?;
                return Ok(plan);
            }
        }
    }
}

/// A round. For a message that is stored it is a round on a thread that may read: only a rule that looks into the body does, and the
/// runtime is not to wait for it.
async fn evaluate(incoming: &Incoming, original: &Arc<Original>) -> Result<Judgement, Failure> {
    let Incoming { session, envelope, findings, endpoint, .. } = incoming;
    if !original.data().is_stored() {
        return Ok(rules::evaluate(&endpoint.rules, &rules::Message { session, envelope, original, findings }));
    }
    let (session, envelope, findings, endpoint) = (session.clone(), envelope.clone(), findings.clone(), Arc::clone(endpoint));
    let original = Arc::clone(original);
    let judged = reading(move || {
        let message = rules::Message { session: &session, envelope: &envelope, original: &original, findings: &findings };
        let judgement = rules::evaluate(&endpoint.rules, &message);
        // What could not be read was judged as if it were not there.
        original.unread().cloned().map_or(Ok(judgement), Err)
    });
    judged.await.map_err(|error| admit::unread(&error))
}

async fn find_out(needs: &BTreeSet<Need>, incoming: &mut Incoming, original: &Original) -> Result<(), Failure> {
    if needs.is_empty() {
        return Ok(());
    }
    let Incoming { id, snapshot, session, envelope, findings, examiner, .. } = incoming;
    let subject = Subject { hostname: &snapshot.hostname, id: *id, session, envelope, original: Some(original) };
    examiner.examine(needs, &subject, findings).await;
    if let Some(error) = original.unread() {
        return Err(admit::unread(error));
    }
    if let Some(need) = needs.iter().find(|need| !findings.has(need)) {
        // It cannot happen; if it did, the message would be judged for ever.
        return Err(cannot_be_checked(format!("nobody can find out {need:?}")));
    }
    if session.client_host.is_none() {
        session.client_host = findings.client_host.known().and_then(|host| host.as_ref().map(Arc::clone));
    }
    Ok(())
}

fn cannot_be_checked(why: String) -> Failure {
    Failure::new(Side::Us, Reply::fixed(451, Status(4, 7, 1), "Cannot be checked now, try again later"), why)
}
