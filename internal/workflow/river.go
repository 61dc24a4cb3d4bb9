package workflow

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
	"github.com/talos-manager/talos-manager/internal/fleet"
)

const (
	// maxHeld is how many operations a replica looks after at the same time; most of them sleep.
	maxHeld = 2000
	// jobTimeout is longer than any job of ours lasts (see seriesLength); River calls one that lasts longer stuck.
	jobTimeout = 3 * time.Minute
	queueName  = "operations"
)

// lookArgs is a job: look at this operation. By and Round are what makes two jobs for one operation the same one, see
// reviveOnce; Round is 0 for jobs that somebody's request needs and that are never the same.
type lookArgs struct {
	Operation string `json:"operation" river:"unique"`
	By        string `json:"by" river:"unique"` // the life of a replica that inserted it
	Round     int64  `json:"round" river:"unique"`
}

// Kind is the name that River stores.
func (lookArgs) Kind() string { return "look" }

// looker is the one worker of ours that River knows.
type looker struct {
	river.WorkerDefaults[lookArgs]
	work func(ctx context.Context, id string) (snooze time.Duration, again bool)
}

// Work looks at an operation, and stays with it as long as it is worth it. No error: the journal has them all.
func (l *looker) Work(ctx context.Context, job *river.Job[lookArgs]) error {
	snooze, again := l.work(ctx, job.Args.Operation)
	if again {
		return river.JobSnooze(max(snooze, 0))
	}
	return nil
}

// queue is River without its type parameter.
type queue struct {
	start  func(ctx context.Context) error
	stop   func(ctx context.Context) error
	kill   func(ctx context.Context) error
	insert func(ctx context.Context, ids []string, round int64) error
}

func newQueue[TTx any](driver riverdriver.Driver[TTx], work func(context.Context, string) (time.Duration, bool), o Options) (queue, error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &looker{work: work}); err != nil {
		return queue{}, fmt.Errorf("river: %w", err)
	}
	life := clientID(o.Replica)
	client, err := river.NewClient(driver, &river.Config{
		ID:                          life,
		Queues:                      map[string]river.QueueConfig{queueName: {MaxWorkers: maxHeld}},
		Workers:                     workers,
		FetchCooldown:               min(10*time.Millisecond, o.Poll),
		FetchPollInterval:           o.Poll,
		JobTimeout:                  jobTimeout,
		RescueStuckJobsAfter:        jobTimeout + time.Minute,
		CompletedJobRetentionPeriod: time.Minute, // they say nothing that the journal does not say better
		CancelledJobRetentionPeriod: time.Minute,
		DiscardedJobRetentionPeriod: time.Minute,
		Logger:                      slog.New(atLeastWarn{o.Log.Handler()}),
	})
	if err != nil {
		return queue{}, fmt.Errorf("river: %w", err)
	}
	return queue{
		start: client.Start,
		stop:  client.Stop,
		kill:  client.StopAndCancel,
		insert: func(ctx context.Context, ids []string, round int64) error {
			return insert(ctx, client, ids, life, round)
		},
	}, nil
}

func insert[TTx any](ctx context.Context, client *river.Client[TTx], ids []string, by string, round int64) error {
	jobs := make([]river.InsertManyParams, len(ids))
	for i, id := range ids {
		opts := &river.InsertOpts{Queue: queueName, MaxAttempts: 3}
		if round != 0 {
			opts.UniqueOpts = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
				rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled,
			}}
		}
		jobs[i] = river.InsertManyParams{Args: lookArgs{Operation: id, By: by, Round: round}, InsertOpts: opts}
	}
	_, err := client.InsertMany(ctx, jobs)
	return err
}

// clientID is unique to this life of a replica, as River wants it, and at most 100 characters long.
func clientID(replica string) string {
	return fmt.Sprintf("%.70s-%s", replica, fleet.NewID())
}

// atLeastWarn keeps River's chatter out of the log.
type atLeastWarn struct{ slog.Handler }

// Enabled is for warnings and errors only.
func (h atLeastWarn) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && h.Handler.Enabled(ctx, l)
}

// WithAttrs keeps the level.
func (h atLeastWarn) WithAttrs(as []slog.Attr) slog.Handler {
	return atLeastWarn{h.Handler.WithAttrs(as)}
}

// WithGroup keeps the level.
func (h atLeastWarn) WithGroup(name string) slog.Handler {
	return atLeastWarn{h.Handler.WithGroup(name)}
}
