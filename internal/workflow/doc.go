// Package workflow runs operations durably: a list of named steps, written down in a [Journal] as they happen, that
// survives the death of the program in any line of it. It knows no domain: kinds of operations come from package
// operation, the tables are package store's, and River only carries "look at operation X" from here to there.
//
// The states of an operation:
//
//	 Enqueue
//	    │
//	    ▼        claim                     last step done
//	┌─pending──────────────▶ running ───────────────────────▶ succeeded
//	│   ▲  ▲                 │ ▲ │ │
//	│   │  │ Answer          │ │ │ └─ permanent, or too many ─▶ failed ────┐
//	│   │  └───── asking ◀───┘ │ │        errors in a row                  │
//	│   │           │   Ask    │ └─ Wait, Retry, an error ─▶ waiting ─┐    │
//	│   │           │          └──────────── at WaitUntil, Wake ──────┘    │
//	│   │           │ Cancel (of running and waiting too)                  │
//	└───│───────────┴─────────────────────────────────────▶ cancelled ──┐  │
//	    └───────────────────────── Retry, at the step it stood at ──────┴──┘
//
// SkipStep leaves the step out that an operation waits or failed at, if its kind allows that, and makes it pending: the step
// is Skipped from that moment on, and the next slice enters the one after it.
//
// A kind with OnCancel or OnFail stands waiting for its clean-up before it becomes cancelled or failed.
//
// An operation advances in slices. A slice claims the operation for a lease, runs the step it stands at and those
// that follow, until one waits, asks or fails or the slice's budget is over, writes and lets go. Every write names
// the revision of the claim: if somebody else has the operation meanwhile, or a person cancelled it, the write is
// refused and the slice stops. So no two replicas finish one step, and none is inside a step another has, as long as
// steps obey their context: it always ends before the lease does.
//
// River is not trusted to remember. Its jobs are inserted outside the journal's transactions, and may be lost or
// doubled: whether an operation is due, the claim decides. Every replica asks the journal every few seconds what is
// due and sees to it that there is a job. A replica that was killed leaves a lease behind; when it has passed,
// another goes on at the step that was running. A step therefore looks before it acts: it will run twice one day.
//
// What this package refuses: to hold a database transaction or a step's call while a machine boots (a step looks,
// and returns [Wait]), to run compensations (a step can be retried; what must be let go of is let go of in OnCancel
// and OnFail), and to rename steps: their names are stored.
package workflow
