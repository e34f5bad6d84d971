import { render } from 'preact';

const place = document.querySelector('#page');
if (place !== null) render(<h1>Lingxi dashboard</h1>, place);
