package handlers

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/claviger/claviger/handlers/api"
	"github.com/claviger/claviger/views/docs"
	"github.com/claviger/claviger/web"
)

// apiDocs is the page of the API reference, made from the OpenAPI document.
func (h *Handlers) apiDocs(c echo.Context) error {
	var d apiDoc
	if err := json.Unmarshal(api.Document, &d); err != nil {
		return err
	}
	p := d.props(h.BaseURL)
	var err error
	if p.Page, err = h.page(c, "API"); err != nil {
		return err
	}
	return web.Render(c, http.StatusOK, docs.API(p))
}

// props returns the props of the page. base is the URL of the server in its commands.
func (d *apiDoc) props(base string) docs.APIProps {
	lead, rest, _ := strings.Cut(d.Info.Description, "\n\n## ")
	p := docs.APIProps{Lead: lead}
	for chapter := range strings.SplitSeq(rest, "\n\n## ") {
		title, text, _ := strings.Cut(chapter, "\n\n")
		p.Intro = append(p.Intro, docs.Chapter{Title: title, Text: text})
	}
	for _, tag := range d.Tags {
		group := docs.Group{Name: tag.Name, Text: tag.Description}
		for _, path := range d.Paths {
			for _, method := range path.Value {
				if o := &method.Value; slices.Contains(o.Tags, tag.Name) {
					group.Operations = append(group.Operations, d.operation(o, strings.ToUpper(method.Name), path.Name,
						base))
				}
			}
		}
		p.Groups = append(p.Groups, group)
	}
	objects := docs.Group{Name: "Objects", Text: "The objects in replies."}
	for _, name := range d.replyObjects() {
		objects.Objects = append(objects.Objects, d.object(name))
	}
	p.Groups = append(p.Groups, objects)
	return p
}

func (d *apiDoc) operation(o *docOperation, method, path, base string) docs.Operation {
	shown := docs.Operation{ID: o.OperationID, Method: method, Path: path, Title: o.Summary, Text: o.Description,
		Needs: needs(o)}
	for _, p := range o.Parameters {
		if p.Ref != "" {
			p = d.Components.Parameters[nameOf(p.Ref)]
		}
		shown.Parameters = append(shown.Parameters, docs.Member{Name: p.Name, Where: p.In, Kind: d.kind(&p.Schema),
			Text: p.Description, Required: p.Required})
	}
	example := ""
	if o.RequestBody != nil {
		content := o.RequestBody.Content["application/json"]
		example = string(content.Example)
		for _, m := range d.members(nameOf(content.Schema.Ref)) {
			m.Where = "body"
			shown.Parameters = append(shown.Parameters, m)
		}
	}
	shown.Curl = curlOf(o, method, base+path, example)
	for _, r := range o.Responses {
		reply := r.Value
		if reply.Ref != "" {
			reply = d.Components.Responses[nameOf(reply.Ref)]
		}
		shown.Replies = append(shown.Replies, docs.Reply{
			Status: r.Name, Text: reply.Description, Object: nameOf(reply.Content["application/json"].Schema.Ref),
		})
	}
	return shown
}

// needs says which credential a call needs.
func needs(o *docOperation) string {
	if len(o.Security) == 1 {
		if scopes := o.Security[0]["serviceToken"]; len(scopes) == 1 {
			return "Needs a service token with the scope `" + scopes[0] + "`."
		}
		if _, key := o.Security[0]["apiKey"]; key {
			return "Needs the key in `X-API-Key`."
		}
		return "Needs no credential."
	}
	return "Takes the key in `X-API-Key`, and a service token if the caller has one."
}

// curlOf returns a command that makes the call, with the secret in a variable of the shell.
func curlOf(o *docOperation, method, url, example string) string {
	url = strings.NewReplacer("{project}", "shop", "{key}", "7", "{version}", "1", "{category}", "4", "{request}",
		"req_38g1yq5g40000").Replace(url)
	command := "curl"
	if method != http.MethodGet && (method != http.MethodPost || example == "") {
		command += " -X " + method
	}
	if len(o.Security) == 1 {
		if _, token := o.Security[0]["serviceToken"]; token {
			command += ` -H "Authorization: Bearer $SERVICE_TOKEN"`
		}
	}
	if slices.ContainsFunc(o.Security, func(s map[string][]string) bool { _, key := s["apiKey"]; return key }) {
		command += ` -H "X-API-Key: $API_KEY"`
	}
	if example != "" {
		command += " \\\n  -H \"Content-Type: application/json\" -d '" + example + "'"
	}
	if len(command) > 60 {
		command += " \\\n "
	}
	return command + " " + url
}

func (d *apiDoc) object(name string) docs.Object {
	schema := d.Components.Schemas[name]
	members := d.members(name)
	for i := range members {
		members[i].Required = false // a reply has all of them
	}
	return docs.Object{Name: name, Text: schema.Description, Members: members}
}

// members returns the fields of an object, first those that it has from allOf.
func (d *apiDoc) members(name string) (list []docs.Member) {
	schema := d.Components.Schemas[name]
	for _, part := range schema.AllOf {
		list = append(list, d.members(nameOf(part.Ref))...)
	}
	for _, p := range schema.Properties {
		text := p.Value.Description
		if text == "" && p.Value.Ref != "" {
			text = d.Components.Schemas[nameOf(p.Value.Ref)].Description
		}
		list = append(list, docs.Member{Name: p.Name, Kind: d.kind(&p.Value), Text: text,
			Required: slices.Contains(schema.Required, p.Name)})
	}
	return list
}

// replyObjects returns the names of all objects in replies, in the order of their first use.
func (d *apiDoc) replyObjects() (names []string) {
	var add func(s *docSchema)
	add = func(s *docSchema) {
		if name := nameOf(s.Ref); name != "" && !slices.Contains(names, name) {
			schema := d.Components.Schemas[name]
			if len(d.members(name)) > 0 && name != "KeyFields" {
				names = append(names, name)
			}
			add(&schema)
		}
		if s.Items != nil {
			add(s.Items)
		}
		for i := range s.AllOf {
			add(&s.AllOf[i])
		}
		for i := range s.Properties {
			add(&s.Properties[i].Value)
		}
	}
	for _, path := range d.Paths {
		for _, method := range path.Value {
			for _, r := range method.Value.Responses {
				reply := r.Value
				if reply.Ref != "" {
					reply = d.Components.Responses[nameOf(reply.Ref)]
				}
				schema := reply.Content["application/json"].Schema
				add(&schema)
			}
		}
	}
	return names
}

// nameOf returns the last part of a $ref.
func nameOf(ref string) string { return ref[strings.LastIndexByte(ref, '/')+1:] }
