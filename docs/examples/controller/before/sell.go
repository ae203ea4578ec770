// Package shop sells goods over four HTTP APIs.
package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// Order is what a customer wants.
type Order struct {
	ID      string `json:"id"`
	Article string `json:"article"`
	Cents   int64  `json:"cents"`
	Address string `json:"address"`
}

// Receipt is what he gets.
type Receipt struct {
	Shipment string `json:"shipment"`
}

// Where the APIs are.
var Stock, Payment, Shipment, Mail string

// Sell sells goods.
func Sell(ctx context.Context, o Order) (Receipt, error) {
	var receipt Receipt
	if err := post(ctx, Stock+"/reservations", o, nil); err != nil {
		return Receipt{}, err
	}
	if err := post(ctx, Payment+"/charges", o, nil); err != nil {
		post(ctx, Stock+"/releases", o, nil) // and if this fails, too?
		return Receipt{}, err
	}
	if err := post(ctx, Shipment+"/shipments", o, &receipt); err != nil {
		post(ctx, Payment+"/refunds", o, nil)
		post(ctx, Stock+"/releases", o, nil)
		return Receipt{}, err
	}
	if err := post(ctx, Mail+"/letters", receipt, nil); err != nil {
		return receipt, nil // the goods are on their way
	}
	return receipt, nil
}

func post(ctx context.Context, url string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}

// Handler is POST /orders.
func Handler(w http.ResponseWriter, r *http.Request) {
	var o Order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	receipt, err := Sell(r.Context(), o)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	json.NewEncoder(w).Encode(receipt)
}
