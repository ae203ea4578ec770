// Package shop sells goods over four HTTP APIs.
package shop

import (
	"encoding/json"
	"net/http"

	"github.com/odradek/odradek/client"
	"github.com/odradek/odradek/workflow"
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

// What the APIs do; bindings.yaml says where they are and how they are called.
var (
	Reserve = workflow.NewTask[Order, struct{}]("stock", "reserve")
	Release = workflow.NewTask[Order, struct{}]("stock", "release")
	Charge  = workflow.NewTask[Order, struct{}]("payment", "charge")
	Refund  = workflow.NewTask[Order, struct{}]("payment", "refund")
	Ship    = workflow.NewTask[Order, Receipt]("shipment", "ship")
	Write   = workflow.NewTask[Receipt, struct{}]("mail", "write")
)

// Definition is the workflow type, for engine.Config.
var Definition = workflow.Define("sell", Sell, Reserve, Release, Charge, Refund, Ship, Write)

// Sell sells goods.
func Sell(ctx workflow.Context, o Order) (Receipt, error) {
	var saga workflow.Saga
	if _, err := Reserve.Run(ctx, o); err != nil {
		return Receipt{}, err
	}
	workflow.Compensate(&saga, "stock", Release, o)
	if _, err := Charge.Run(ctx, o); err != nil {
		return Receipt{}, saga.Rollback(ctx, err)
	}
	workflow.Compensate(&saga, "payment", Refund, o)
	receipt, err := Ship.Run(ctx, o)
	if err != nil {
		return Receipt{}, saga.Rollback(ctx, err)
	}
	if _, err := Write.Run(ctx, receipt); err != nil {
		return receipt, nil // the goods are on their way
	}
	return receipt, nil
}

// Odradek is the engine's API.
var Odradek *client.HTTP

// Handler is POST /orders.
func Handler(w http.ResponseWriter, r *http.Request) {
	var o Order
	if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if _, err := client.Start[Order, Receipt](r.Context(), Odradek, "sell", o.ID, o); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusAccepted) // from here on it will be done, or undone
}
