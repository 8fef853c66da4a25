package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Book balances the records of one epoch, or of all of an agent's: appended =
// stored + rejected + quarantined + lost + in flight.
type Book struct {
	Appended    uint64            `json:"appended" doc:"Records that the agent is known to have written"`
	Stored      uint64            `json:"stored" doc:"In the database"`
	Rejected    uint64            `json:"rejected" doc:"Refused by the service, in the agent's dead letters"`
	Quarantined uint64            `json:"quarantined" doc:"In the service's dead letters"`
	Lost        uint64            `json:"lost" doc:"Given up and declared by the agent"`
	LostBy      map[string]uint64 `json:"lost_by,omitempty" doc:"Lost, by reason"`
	InFlight    uint64            `json:"in_flight" doc:"In the agent's log or on the way"`
	Samples     uint64            `json:"samples" doc:"Samples in the stored records"`
}

// EpochBook is the book of one epoch.
type EpochBook struct {
	Epoch string `json:"epoch"`
	Book
	Holes  int  `json:"holes" doc:"Gaps between settled records"`
	Forked bool `json:"forked" doc:"One number named two contents"`
}

// Books are an agent's books.
type Books struct {
	Agent  string      `json:"agent"`
	Epochs []EpochBook `json:"epochs"`
	Total  Book        `json:"total"`
}

func (r resources) books() {
	type input struct {
		Agent string `path:"agent"`
	}
	type output struct{ Body Books }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/agents/{agent}/books", "get-books", "Show an agent's books"),
		func(ctx context.Context, in *input) (*output, error) {
			a, err := r.agent(ctx, in.Agent)
			if err != nil {
				return nil, err
			}
			b, err := r.deps.DB.Books(ctx, a.ID)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			out := Books{Agent: string(a.Name), Epochs: make([]EpochBook, 0, len(b.Epochs)), Total: toBook(b.Total)}
			for _, e := range b.Epochs {
				out.Epochs = append(out.Epochs, EpochBook{Epoch: e.Epoch.String(), Book: toBook(e.Book), Holes: e.Holes, Forked: !e.ForkedAt.IsZero()})
			}
			return &output{out}, nil
		})
}

func toBook(b postgres.Book) Book {
	out := Book{Appended: b.Appended, Stored: b.StoredCycles + b.StoredReports, Quarantined: b.Quarantined, InFlight: b.InFlight,
		Samples: b.StoredSamples, LostBy: map[string]uint64{}}
	for reason, n := range b.Lost {
		if reason == sentinel.LossRejected {
			out.Rejected += n
			continue
		}
		out.Lost += n
		out.LostBy[reason.String()] += n
	}
	return out
}

// Books returns an agent's books.
func (c *Client) Books(ctx context.Context, agent string) (Books, error) {
	var b Books
	err := c.call(ctx, http.MethodGet, "/agents/"+url.PathEscape(agent)+"/books", nil, nil, &b)
	return b, err
}
