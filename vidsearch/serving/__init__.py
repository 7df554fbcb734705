"""The web application: a page and a JSON API over one open library, for the browsers of this machine."""
