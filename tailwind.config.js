// Class names are read from the templates alone, so that words in Go code and prose add nothing to the style sheet.
// A class that a .go file chooses must therefore be spelled out in a .templ file.
module.exports = {
  content: ["./views/**/*.templ", "./static/src/app.js"],
};
