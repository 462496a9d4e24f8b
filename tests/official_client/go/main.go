// Reads an account's log from an orgtrail with Cloudflare's own Go client, and prints what it found as JSON.
//
// Usage: BASE_URL TOKEN ACCOUNT SINCE BEFORE, the last two as dates.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"github.com/cloudflare/cloudflare-go/v7/accounts"
	"github.com/cloudflare/cloudflare-go/v7/option"
)

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	baseURL, token, account := os.Args[1], os.Args[2], os.Args[3]
	since, err := time.Parse(time.DateOnly, os.Args[4])
	check(err)
	before, err := time.Parse(time.DateOnly, os.Args[5])
	check(err)
	ctx := context.Background()
	audit := accounts.NewLogAuditService(
		option.WithBaseURL(baseURL+"/"),
		option.WithAPIToken(token),
		option.WithMaxRetries(0),
	)
	// The type of these fields is internal to the client; its package with the function that makes them takes minutes to build.
	var params accounts.LogAuditListParams
	params.AccountID.Value, params.AccountID.Present = account, true
	params.Since.Value, params.Since.Present = since, true
	params.Before.Value, params.Before.Present = before, true
	params.Limit.Value, params.Limit.Present = 50, true
	params.Direction.Value, params.Direction.Present = accounts.LogAuditListParamsDirectionAsc, true
	list := func(params accounts.LogAuditListParams, opts ...option.RequestOption) []accounts.LogAuditListResponse {
		entries := []accounts.LogAuditListResponse{}
		pages := audit.ListAutoPaging(ctx, params, opts...)
		for pages.Next() {
			entries = append(entries, pages.Current())
		}
		check(pages.Err())
		return entries
	}
	entries := list(params)
	without := params
	drop := &without.ActionType.Value.Not
	drop.Value, drop.Present = []accounts.LogAuditListParamsActionTypeNot{accounts.LogAuditListParamsActionTypeNotDelete}, true
	without.ActionType.Present = true
	ids := []string{}
	var own *accounts.LogAuditListResponse
	for n, entry := range entries {
		ids = append(ids, entry.ID)
		if own == nil && entry.Resource.ID != "" && !entry.Action.Time.IsZero() {
			own = &entries[n]
		}
	}
	var asked accounts.LogAuditHistoryParams
	asked.AccountID.Value, asked.AccountID.Present = account, true
	asked.ActionTime.Value, asked.ActionTime.Present = own.Action.Time, true
	asked.Since.Value, asked.Since.Present = since, true
	asked.Before.Value, asked.Before.Present = before, true
	asked.Limit.Value, asked.Limit.Present = 1000, true
	history, err := audit.History(ctx, own.ID, asked)
	check(err)
	inHistory := false
	for _, entry := range *history {
		inHistory = inHistory || entry.ID == own.ID
	}
	var of accounts.LogAuditProductCategoriesParams
	of.AccountID.Value, of.AccountID.Present = account, true
	categories, err := audit.ProductCategories(ctx, of)
	check(err)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"ids":        ids,
		"without":    len(list(without)),
		"deletes":    len(list(params, option.WithQuery("action_type", "delete"))),
		"in_history": inHistory,
		"categories": len(categories.Result) > 0,
	}))
}
