import type { OpenAPIHono } from '@hono/zod-openapi';
import type { HttpEnv } from './route.ts';

export type OpenApiDocument = ReturnType<OpenAPIHono<HttpEnv>['getOpenAPI31Document']>;

/** Names of the two credentials in the description of the interface. */
export function registerSecuritySchemes(app: OpenAPIHono<HttpEnv>): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'userToken', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'JWT',
    description: "A user's token; acts for that user alone.",
  });
  app.openAPIRegistry.registerComponent('securitySchemes', 'serviceKey', {
    type: 'http',
    scheme: 'bearer',
    description: 'LINGXI_API_KEY; acts for anyone.',
  });
  app.openAPIRegistry.registerComponent('securitySchemes', 'viewKey', {
    type: 'http',
    scheme: 'bearer',
    description: 'LINGXI_VIEW_KEY; reads what the service key reads, and changes nothing.',
  });
}

/** The whole interface, made from the added routes. */
export function buildOpenApi(app: OpenAPIHono<HttpEnv>, version: string): OpenApiDocument {
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Lingxi',
      version,
      description:
        'WebSocket connection manager and presence gateway. Times are milliseconds as numbers, except `timestamp` in envelopes and in /ws/stats, which is seconds. Every error is `{"error": sentence, "code": stable code}`.',
      license: { name: 'MIT' },
    },
    tags: [
      { name: 'WebSocket' },
      { name: 'Messages', description: 'Push by user id.' },
      { name: 'Presence', description: 'Who is online.' },
      { name: 'Users' },
      { name: 'Statistics' },
      { name: 'Operation' },
      { name: 'Dashboard', description: 'What the page for operators shows.' },
      { name: 'Documentation' },
      { name: 'Development' },
    ],
  });
}
