package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/sentinelgo/sentinel/internal/postgres"
	"github.com/sentinelgo/sentinel/internal/sentinel"
)

// Rule is one rule of alerting. docs/alerting.md says what its fields mean.
type Rule struct {
	Group         string            `json:"group"`
	Alert         string            `json:"alert"`
	Kind          string            `json:"kind" enum:"threshold,absence,anomaly,forecast,expr"`
	Severity      string            `json:"severity" enum:"info,warning,critical"`
	Sentence      string            `json:"sentence" doc:"When it fires, in words"`
	Expr          string            `json:"expr,omitempty" doc:"PromQL, where the kind is expr"`
	Interval      string            `json:"interval,omitempty" doc:"How often the expression is asked"`
	Asked         *RuleAsked        `json:"asked,omitempty" doc:"How the expression was answered last"`
	Series        string            `json:"series,omitempty"`
	DividedBy     string            `json:"divided_by,omitempty"`
	Minus         string            `json:"minus,omitempty"`
	Agents        string            `json:"agents,omitempty" doc:"Matchers of the agents that it is about; none: all"`
	Function      string            `json:"function,omitempty"`
	Window        string            `json:"window,omitempty"`
	Condition     string            `json:"condition,omitempty"`
	Recovery      string            `json:"recovery,omitempty"`
	For           string            `json:"for,omitempty"`
	KeepFiringFor string            `json:"keep_firing_for,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
	Runbook       string            `json:"runbook,omitempty"`
	YAML          string            `json:"yaml" doc:"The rule as it stands in a file, without its group"`
	Version       int64             `json:"version" doc:"Names the text: no other ever has it"`
	ChangedAt     time.Time         `json:"changed_at"`
	ChangedBy     string            `json:"changed_by"`
}

// RuleAsked is how a rule's expression was answered last.
type RuleAsked struct {
	At         time.Time  `json:"at"`
	AnsweredAt *time.Time `json:"answered_at,omitempty" doc:"When it was answered last; what was the case then stays so"`
	TookMS     int64      `json:"took_ms"`
	Series     int        `json:"series" doc:"Of the last answer"`
	Error      string     `json:"error,omitempty" doc:"Why there is no answer now"`
}

// RuleList are all rules, by group and alert.
type RuleList struct {
	Rules []Rule `json:"rules"`
}

// RuleText is a rule as people write it.
type RuleText struct {
	YAML string `json:"yaml" minLength:"1" maxLength:"65536" doc:"The rule as it stands in a file, without its group. JSON is YAML, too"`
}

// RuleFile is a file of rules.
type RuleFile struct {
	YAML   string `json:"yaml" minLength:"1" maxLength:"900000" doc:"Groups of rules, as docs/alerting.md describes them"`
	Prune  bool   `json:"prune,omitempty" doc:"Remove the rules of the file's groups that are not in it"`
	DryRun bool   `json:"dry_run,omitempty" doc:"Only check the file"`
}

func (r resources) rules() {
	type listOutput struct{ Body RuleList }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/rules", "list-rules", "List the rules of alerting, by group"),
		func(ctx context.Context, _ *struct{}) (*listOutput, error) {
			rows, _, err := r.deps.DB.AlertRules(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &listOutput{r.ruleList(ctx, rows)}, nil
		})

	type oneInput struct {
		Group string `path:"group" maxLength:"128"`
		Alert string `path:"alert" maxLength:"128"`
	}
	type oneOutput struct{ Body Rule }
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/rules/{group}/{alert}", "get-rule", "Show a rule"),
		func(ctx context.Context, in *oneInput) (*oneOutput, error) {
			rows, _, err := r.deps.DB.AlertRules(ctx)
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			for _, row := range rows {
				if row.Group == in.Group && row.Name == in.Alert {
					return &oneOutput{r.ruleList(ctx, []postgres.AlertRule{row}).Rules[0]}, nil
				}
			}
			return nil, r.fail(ctx, sentinel.Errorf(sentinel.NotFound, noRule, in.Group, in.Alert))
		})
	huma.Register(r.api, operation(postgres.Viewer, http.MethodGet, "/rules/{group}/{alert}/versions", "list-rule-versions", "Show what a rule was, the newest first"),
		func(ctx context.Context, in *oneInput) (*listOutput, error) {
			rows, err := r.deps.DB.AlertRuleVersions(ctx, in.Group, in.Alert)
			if err == nil && len(rows) == 0 {
				err = sentinel.Errorf(sentinel.NotFound, noRule, in.Group, in.Alert)
			}
			if err != nil {
				return nil, r.fail(ctx, err)
			}
			return &listOutput{r.ruleList(ctx, rows)}, nil
		})

	type putInput struct {
		Group string `path:"group" maxLength:"128"`
		Alert string `path:"alert" maxLength:"128"`
		Body  RuleText
	}
	put := operation(postgres.Operator, http.MethodPut, "/rules/{group}/{alert}", "put-rule", "Make or change a rule")
	put.Description += " It holds within seconds. The state of other rules stays; that of this one stays, too, where only severity, labels, texts or durations change."
	huma.Register(r.api, put, func(ctx context.Context, in *putInput) (*oneOutput, error) {
		row, err := r.deps.Alerting.ReadRule(in.Group, in.Body.YAML)
		if err == nil && row.Name != in.Alert {
			err = sentinel.Errorf(sentinel.Invalid, "alert: the path names %.80q, the rule %.80q", in.Alert, row.Name)
		}
		if err != nil {
			return nil, r.fail(ctx, wrong("body.yaml", "%w", err))
		}
		kept, err := r.deps.DB.PutAlertRules(ctx, entry(ctx, "rule.put", in.Group+"/"+in.Alert), []postgres.AlertRule{row}, nil)
		if err != nil {
			return nil, r.failBody(ctx, err)
		}
		return &oneOutput{r.deps.Alerting.Rule(kept[0])}, nil
	})
	huma.Register(r.api, operation(postgres.Operator, http.MethodDelete, "/rules/{group}/{alert}", "delete-rule", "Remove a rule; what fires by it resolves"),
		func(ctx context.Context, in *oneInput) (*struct{}, error) {
			if err := r.deps.DB.DeleteAlertRule(ctx, entry(ctx, "rule.delete", in.Group+"/"+in.Alert), in.Group, in.Alert); err != nil {
				return nil, r.fail(ctx, missing(err, noRule, in.Group, in.Alert))
			}
			return nil, nil
		})

	type applyInput struct{ Body RuleFile }
	apply := operation(postgres.Operator, http.MethodPost, "/rules", "apply-rules", "Make or change the rules of a file, all of them or none")
	huma.Register(r.api, apply, func(ctx context.Context, in *applyInput) (*listOutput, error) {
		rows, err := r.deps.Alerting.ReadRules(in.Body.YAML)
		if err != nil {
			return nil, r.fail(ctx, wrong("body.yaml", "%w", err))
		}
		if !in.Body.DryRun {
			var prune []string
			for _, row := range rows {
				if in.Body.Prune {
					prune = append(prune, row.Group)
				}
			}
			by := entry(ctx, "rule.apply", "")
			by.Details = map[string]any{"rules": len(rows), "prune": in.Body.Prune}
			if rows, err = r.deps.DB.PutAlertRules(ctx, by, rows, prune); err != nil {
				return nil, r.failBody(ctx, err)
			}
		}
		return &listOutput{r.ruleList(ctx, rows)}, nil
	})
}

const noRule = "there is no rule %.80q/%.80q; `sentinelctl rule ls` lists those there are"

func (r resources) ruleList(ctx context.Context, rows []postgres.AlertRule) RuleList {
	list := RuleList{make([]Rule, 0, len(rows))}
	var asked map[string]RuleAsked
	for _, row := range rows {
		one := r.deps.Alerting.Rule(row)
		if one.Expr != "" && asked == nil {
			var err error
			if asked, err = r.deps.Alerting.Asked(ctx); err != nil { // the rules are there all the same
				r.deps.Log.Warn("it is not known how expressions were answered", "error", err)
				asked = map[string]RuleAsked{}
			}
		}
		if a, ok := asked[one.Group+"/"+one.Alert]; ok && one.Expr != "" {
			one.Asked = &a
		}
		list.Rules = append(list.Rules, one)
	}
	return list
}

func rulePath(group, alert string) string {
	return "/rules/" + url.PathEscape(group) + "/" + url.PathEscape(alert)
}

// Rules returns all rules, by group and alert.
func (c *Client) Rules(ctx context.Context) ([]Rule, error) {
	var list RuleList
	err := c.call(ctx, http.MethodGet, "/rules", nil, nil, &list)
	return list.Rules, err
}

// Rule returns one rule.
func (c *Client) Rule(ctx context.Context, group, alert string) (Rule, error) {
	var out Rule
	err := c.call(ctx, http.MethodGet, rulePath(group, alert), nil, nil, &out)
	return out, err
}

// ApplyRules makes or changes the rules of a file.
func (c *Client) ApplyRules(ctx context.Context, in RuleFile) ([]Rule, error) {
	var list RuleList
	err := c.call(ctx, http.MethodPost, "/rules", nil, in, &list)
	return list.Rules, err
}

// PutRule makes or changes a rule, as it stands in a file without its group.
func (c *Client) PutRule(ctx context.Context, group, alert, yaml string) (Rule, error) {
	var out Rule
	err := c.call(ctx, http.MethodPut, rulePath(group, alert), nil, RuleText{yaml}, &out)
	return out, err
}

// DeleteRule removes a rule.
func (c *Client) DeleteRule(ctx context.Context, group, alert string) error {
	return c.call(ctx, http.MethodDelete, rulePath(group, alert), nil, nil, nil)
}
