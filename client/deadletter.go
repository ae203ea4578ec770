package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/odradek/odradek/httpapi/api"
)

// DeadLetters gives a page of a partition's dead letters behind one, or from the first on,
// with a code if it is not empty. Next is empty on the last page; Partitions says how many
// partitions there are.
func (c *HTTP) DeadLetters(ctx context.Context, partition int32, code, after string, limit int) (page api.DeadLetterPage, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	set(q, "code", code)
	set(q, "after", after)
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/partitions/" + strconv.Itoa(int(partition)) + "/dead-letters", query: q}, &page)
	return page, err
}

// GetDeadLetter shows one.
func (c *HTTP) GetDeadLetter(ctx context.Context, id string) (d DeadLetter, err error) {
	_, err = c.do(ctx, request{method: http.MethodGet, path: "/v1/dead-letters/" + segment(id)}, &d)
	return d, err
}

// RetryDeadLetter takes the record of a dead letter in once more, or edited in its place if
// it is not nil. What cannot be processed again is a dead letter again.
func (c *HTTP) RetryDeadLetter(ctx context.Context, id string, edited *KafkaRecord, reason string) error {
	var body []byte
	if edited != nil {
		var err error
		if body, err = json.Marshal(edited); err != nil {
			return err
		}
	}
	return c.redrive(ctx, id, "/retry", body, reason)
}

// DiscardDeadLetter forgets one.
func (c *HTTP) DiscardDeadLetter(ctx context.Context, id, reason string) error {
	return c.redrive(ctx, id, "/discard", nil, reason)
}

func (c *HTTP) redrive(ctx context.Context, id, verb string, body []byte, reason string) error {
	commandID, err := command("dead-letter", "", nil)
	if err != nil {
		return err
	}
	q := url.Values{}
	set(q, "reason", reason)
	_, err = c.do(ctx, request{method: http.MethodPost, path: "/v1/dead-letters/" + segment(id) + verb, query: q, body: body, commandID: commandID}, &api.DeadLetterDone{})
	return err
}
